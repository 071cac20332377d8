# The images of Breaker: `breaker` is one static binary and nothing else; `chaos` has the demo's binary beside it.
#
#   docker build -t breaker .                          builds the binaries too, with the official Rust image
#   docker build -t breaker-chaos --target chaos .     the same for the chaos demo
#   deploy/image                                       builds both with the toolchain of this machine, for where no registry can be reached

FROM rust:1.95-bookworm AS build
# It puts the list of crates into the binaries.
RUN cargo install --locked cargo-auditable@0.7.7
WORKDIR /src
COPY . .
# C in static binaries needs the C library's archive, which the image has.
RUN mkdir /image && folder=$(deploy/static dist) && install "$folder/breaker" "$folder/breaker-chaos" /image

# What deploy/image takes begins here.
FROM scratch AS breaker
COPY --from=build /image/breaker /breaker
# Nobody, by number: there is no file with names.
USER 65532:65532
ENTRYPOINT ["/breaker"]

# A container's health is asked by /breaker here too.
FROM breaker AS chaos
COPY --from=build /image/breaker-chaos /breaker-chaos
ENTRYPOINT ["/breaker-chaos"]

# Without --target it is the image of Breaker.
FROM breaker
