# The image of Breaker: one static binary and nothing else.
#
#   docker build -t breaker .        builds the binary too, with the official Rust image
#   deploy/image                     builds it with the toolchain of this machine, for where no registry can be reached
#
# Both end in the last stage.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# C in static binaries needs the C library's archive, which the image has.
RUN RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --package breaker-sidecar \
      --target "$(rustc --print host-tuple)" \
 && install -D "target/$(rustc --print host-tuple)/release/breaker" /image/breaker

FROM scratch
COPY --from=build /image/breaker /breaker
# Nobody, by number: there is no file with names.
USER 65532:65532
ENTRYPOINT ["/breaker"]
