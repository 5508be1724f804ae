# Two images from one file, each a single static binary on an empty root:
#
#   docker build --target agent    -t keyside-agent:0.1.0    .
#   docker build --target injector -t keyside-injector:0.1.0 .
#
# With binaries from elsewhere, a folder takes the place of the stage `build`; it holds
# out/keyside-agent, out/keyside-injector and etc/ssl/certs/ca-certificates.crt:
#
#   docker build --target agent --build-context build=DIR .

ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo xtask release && mkdir /out && cp target/*/release/keyside-agent target/*/release/keyside-injector /out/

FROM scratch AS agent
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keyside-agent" \
      org.opencontainers.image.description="Keeps Vault and OpenBao credentials at a pod's side" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Mozilla's roots, for servers with a public certificate.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/keyside-agent /keyside-agent
# A number: Kubernetes checks runAsNonRoot without reading a password file.
USER 65532:65532
ENTRYPOINT ["/keyside-agent"]

FROM scratch AS injector
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keyside-injector" \
      org.opencontainers.image.description="Mutating admission webhook that puts the Keyside agent into annotated pods" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/keyside-injector /keyside-injector
USER 65532:65532
ENTRYPOINT ["/keyside-injector"]
