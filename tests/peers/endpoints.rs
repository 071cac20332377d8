//! Several endpoints of one upstream, all of them real servers: faults, restarts, names that
//! change, health checks and connections that close.

mod apart;
mod closing;
mod faults;
mod health;
mod knot;
mod load;
mod names;
mod nginx;
mod restart;
