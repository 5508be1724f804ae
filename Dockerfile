# Two images from one file, each a single static binary on an empty root, with a list of its parts (SPDX 2.3):
#
#   docker build --target agent    -t keyside-agent:0.1.0    .
#   docker build --target injector -t keyside-injector:0.1.0 .
#
# For other processors than this machine's: --platform linux/amd64,linux/arm64. With binaries from elsewhere, a folder
# takes the place of the stage `build`; it holds what `cargo xtask release --out DIR/out` puts there:
#
#   docker build --target agent --build-context build=DIR .

ARG RUST_VERSION=1.95
# Always on the machine's own processor: for another one it is a cross compiler that works, and no emulator.
FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-bookworm AS build
ARG TARGETARCH
RUN case "$TARGETARCH" in \
      "" | "$(dpkg --print-architecture)") exit ;; \
      amd64) processor=x86-64 triple=x86_64-unknown-linux-gnu ;; \
      arm64) processor=aarch64 triple=aarch64-unknown-linux-gnu ;; \
      *) echo "no image for $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && rustup target add "$triple" \
    && apt-get update \
    && apt-get install -y --no-install-recommends "gcc-$processor-linux-gnu" "libc6-dev-$TARGETARCH-cross" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# When the source was last changed: in the list of parts, and so in the image's digest.
ARG SOURCE_DATE_EPOCH=0
RUN SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" cargo xtask release --arch "$TARGETARCH" --out /out

FROM scratch AS agent
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="keyside-agent" \
      org.opencontainers.image.description="Keeps Vault and OpenBao credentials at a pod's side" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Mozilla's roots, for servers with a public certificate.
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/keyside-agent.spdx.json /usr/share/sbom/keyside-agent.spdx.json
COPY --from=build /out/keyside-agent /keyside-agent
# A number: Kubernetes checks runAsNonRoot without reading a password file.
USER 65532:65532
ENTRYPOINT ["/keyside-agent"]

FROM scratch AS injector
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="keyside-injector" \
      org.opencontainers.image.description="Mutating admission webhook that puts the Keyside agent into annotated pods" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/keyside-injector.spdx.json /usr/share/sbom/keyside-injector.spdx.json
COPY --from=build /out/keyside-injector /keyside-injector
USER 65532:65532
ENTRYPOINT ["/keyside-injector"]
