# Builds the program, then an image that holds nothing but it and Debian's C library. `make image` runs this.

FROM rust:1.95.0-slim-bookworm AS builder
# The image's own toolchain, whatever rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
# The allocator is built by make.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked && strip target/release/yaoku && mkdir /empty

FROM debian:bookworm-slim
COPY --from=builder /build/target/release/yaoku /usr/local/bin/yaoku
# A new volume takes its owner and mode from here.
COPY --from=builder --chown=10001:10001 --chmod=0700 /empty /data
USER 10001:10001
VOLUME /data
WORKDIR /data
# The published heads of the audit trail lie beside the data directory, in /data/appliance.heads. Nothing is written elsewhere.
ENV YAOKU_DATA=/data/appliance \
    YAOKU_OPENAPI_LISTEN=0.0.0.0:8443 \
    YAOKU_ACCESS_POINT_LISTEN=0.0.0.0:9092
EXPOSE 8443 9092
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["yaoku", "health"]
# The service finishes what is in flight within 10 seconds of SIGTERM: give it 15 (--stop-timeout).
STOPSIGNAL SIGTERM
ENTRYPOINT ["yaoku"]
CMD ["serve"]
