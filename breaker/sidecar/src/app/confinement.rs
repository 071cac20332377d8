//! The sandbox of a sidecar: what it needs, and what a reload may not need beyond that.

use std::path::Path;

use super::{App, StartError};
use crate::config::{Config, port_of};
use crate::sandbox::{self, Layer, Rules, Sandbox};
use crate::telemetry::ExportSettings;

/// A process that is confined.
#[derive(Debug)]
pub(super) struct Confinement {
    sandbox: Sandbox,
    rules: Rules,
}

impl App {
    /// Gives up all that this sidecar does not need, if its configuration says so. The process has
    /// no other thread yet.
    ///
    /// # Errors
    /// When the sandbox is required and a layer can't be had, or files can't be written any more.
    pub fn confine(&mut self, config: &Config) -> Result<(), StartError> {
        let rules = rules(config, &self.settings, self.recorded.as_deref());
        let sandbox = sandbox::apply(config.sandbox(), &rules).map_err(StartError::Sandbox)?;
        tracing::info!("sandbox: {}", sandbox.summary);
        for note in sandbox.notes() {
            tracing::info!("sandbox: {note}");
        }
        if let Some((keeper, file)) = self.keeper.as_ref().zip(config.state()) {
            // It may have been a capability that allowed it.
            keeper.check().map_err(|source| StartError::State {
                file: file.to_owned(),
                source,
            })?;
        }
        self.sandbox = Some(sandbox.clone());
        self.reloader.confined(Confinement { sandbox, rules });
        Ok(())
    }
}

impl Confinement {
    /// What `next` needs and this process has given up.
    pub(super) fn outside(&self, next: &Config) -> Vec<String> {
        let (needs, mut outside) = (next.needs(), Vec::new());
        if self.sandbox.has(Layer::Filesystem) {
            let files = self.rules.files_outside(&needs);
            // A missing file is reported by the code that opens it.
            let files = files.filter(|path| path.exists());
            outside.extend(files.map(|path| path.display().to_string()));
        }
        if self.sandbox.has(Layer::TcpConnect) {
            outside.extend(self.rules.ports_outside(&needs));
        }
        outside
    }
}

/// What a sidecar needs: its configuration, what the environment says beside it, and the system's
/// files.
fn rules(config: &Config, settings: &ExportSettings, recorded: Option<&Path>) -> Rules {
    let mut rules = config.needs();
    for export in settings.exports() {
        rules.connects(port_of(&export.endpoint));
        let files = [
            &export.certificate,
            &export.client_certificate,
            &export.client_key,
        ];
        files
            .into_iter()
            .flatten()
            .for_each(|file| rules.reads(file));
    }
    recorded.into_iter().for_each(|file| rules.writes(file));
    let roots = openssl_probe::probe();
    let roots = roots.cert_file.into_iter().chain(roots.cert_dir);
    for path in roots.chain(SYSTEM.map(Into::into)) {
        rules.reads_all(&path);
    }
    // Of a link, the directory that it leads to, in which another file may take its place.
    if let Ok(servers) = Path::new(RESOLV_CONF).canonicalize()
        && servers != Path::new(RESOLV_CONF)
    {
        rules.reads(&servers);
    }
    rules
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// What every sidecar reads of the system: names, certificates that others are links to, the share
/// of the processors that the process has, itself, a file to hold descriptors with, and chance,
/// which a static binary reads from files.
const SYSTEM: [&str; 11] = [
    RESOLV_CONF,
    "/etc/hosts",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/proc/self",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/proc/sys/kernel/hostname",
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::telemetry::Environment;

    fn config(text: &str) -> Config {
        Config::parse(text, None, Path::new("/etc/breaker")).unwrap()
    }

    fn all(config: &Config, environment: &Environment, recorded: Option<&Path>) -> Rules {
        let settings = ExportSettings::resolve(config.export(), environment).unwrap();
        rules(config, &settings, recorded)
    }

    const TWO: &str = "
upstreams:
  pay: { endpoints: [\"http://pay:8081\", \"http://10.0.0.7:8082\"] }
  local: { endpoints: [\"unix:/run/app.sock\"] }
routes:
  - { name: pay, upstream: pay, match: { path: /pay }, fallback: { upstream: local } }
";

    #[test]
    fn the_ports_are_those_of_upstreams_collectors_and_dns() {
        let text = format!(
            "telemetry:
  export: {{ endpoint: \"https://collector\" }}
  receive: {{ forward: \"http://collector:4317\" }}
{TWO}"
        );
        let rules = all(&config(&text), &Environment::default(), None);
        let ports: Vec<_> = rules.ports().unwrap().iter().copied().collect();
        assert_eq!(ports, [53, 443, 4317, 8081, 8082]);
        let named = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let environment = [(named, "http://127.0.0.1:4318")].into_iter().collect();
        let rules = all(&config(TWO), &environment, None);
        assert!(rules.ports().unwrap().contains(&4318));
    }

    #[test]
    fn the_written_directories_are_those_of_state_access_log_and_recording() {
        let text =
            format!("state: kept/state.json\nlog: {{ access: all, file: /var/log/b/a }}{TWO}");
        let recorded = Path::new("/var/rec/r.jsonl");
        let rules = all(&config(&text), &Environment::default(), Some(recorded));
        let written: Vec<_> = rules
            .written()
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(written, ["/etc/breaker/kept", "/var/log/b", "/var/rec"]);
        assert!(rules.read().contains(Path::new("/proc/self")));
    }

    #[test]
    fn an_upstream_of_srv_records_may_have_any_port() {
        let text = TWO.replace(
            "endpoints: [\"unix:/run/app.sock\"]",
            "discover: { name: _http._tcp.pay.shop, record: srv }",
        );
        let rules = all(&config(&text), &Environment::default(), None);
        let why = "the SRV records of _http._tcp.pay.shop say the ports of upstream local";
        assert_eq!(rules.ports(), Err(why));
    }

    #[test]
    fn links_within_a_directory_may_lead_elsewhere_in_it_later() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let releases: PathBuf = folder.join("releases/7");
        fs::create_dir_all(&releases).unwrap();
        std::os::unix::fs::symlink("releases/7", folder.join("current")).unwrap();
        fs::write(releases.join("breaker.yaml"), TWO).unwrap();
        let config = Config::load(&folder.join("current/breaker.yaml")).unwrap();
        let rules = config.needs();
        let read: Vec<_> = rules.read().iter().collect();
        assert_eq!(read, [&folder, &folder.join("current"), &releases]);
    }
}
