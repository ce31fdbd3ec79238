# syntax=docker/dockerfile:1
# The Catcher in a slim image: built in one stage, run in another, by a user without rights.
#
#   docker build -t catcher .
#   docker run --rm catcher demo --once
#   docker run -d -e LSST_KAFKA_BROKER_ADDR=... -e LSST_SCHEMA_REGISTRY_URL=... -e LSST_TOPIC_SUBNAME=sal -e LSST_SITE=... \
#     -v ts_config_ocs:/config:ro -e TS_CONFIG_OCS_DIR=/config -v catcher-state:/var/lib/catcher catcher run_catcher 1

ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
# OpenSSL and librdkafka are compiled from their vendored sources: a C compiler is in the image, these are not.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin catcher \
    && install -D --mode=0755 target/release/catcher /out/catcher

FROM debian:${DEBIAN}-slim
# Versions are Debian stable's, with its security updates: not pinned on purpose.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 73006 catcher \
    && useradd --uid 73006 --gid 73006 --no-create-home --home-dir /var/lib/catcher --shell /usr/sbin/nologin catcher \
    && install --directory --owner=catcher --group=catcher /var/lib/catcher
COPY --from=build /out/catcher /usr/local/bin/catcher
COPY config_schema /usr/local/share/catcher/config_schema
COPY LICENSE /usr/local/share/doc/catcher/LICENSE
RUN ln -s catcher /usr/local/bin/run_catcher
USER 73006:73006
WORKDIR /var/lib/catcher
VOLUME /var/lib/catcher
ENV CATCHER_DATA_DIR=/var/lib/catcher CATCHER_HTTP=0.0.0.0:8091
EXPOSE 8091
# By the shell's own sockets: the image has no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${CATCHER_HTTP##*:} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200'"]
# git serves configuration overrides of the form `file.yaml:ref`; tini hands signals on and collects finished children.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["run_catcher", "--help"]
