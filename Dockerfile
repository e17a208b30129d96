# The two images, built without a network from a checkout with its node_modules (npm install) and from bases of yours:
#   docker build --target services --build-arg BASE=debian:bookworm-slim -t sallyport .
#   docker build --target node --build-arg BASE=debian:bookworm-slim --build-arg NODE_BASE=... -t sallyport-node .
# BASE needs glibc, libstdc++ and ldd: Debian, Ubuntu, UBI. It makes the images and is in neither.
# NODE_BASE is what the agent runs on: nft, conntrack, ip, setpriv and sysctl. Where they are missing and apt is there, it is asked
# for them, which is the only step that needs a network.
ARG BASE=debian:bookworm-slim
ARG NODE_BASE=${BASE}

FROM ${BASE} AS build
WORKDIR /src
ENV OUT=/out
COPY node_modules node_modules
COPY package.json package-lock.json tsconfig.json tsconfig.build.json LICENSE ./
COPY cli cli
COPY cluster cluster
COPY dns dns
COPY doctor doctor
COPY extauthz extauthz
COPY filters filters
COPY guard guard
COPY injector injector
COPY mesh-config mesh-config
COPY pki pki
COPY policy policy
COPY runtime runtime
COPY sources sources
COPY tproxy tproxy
# The tour makes its pods with the tests' lab.
COPY test/lab test/lab
COPY docs docs
COPY samples samples
ENV PATH=/src/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN node cli/build.ts
RUN node cli/image.mjs "$OUT"

# The webhook, the controller, extauthz, and the guard of captured pods: no shell, no package, nobody's user.
FROM scratch AS services
COPY --from=build /out/services /
ENV PATH=/usr/local/bin HOME=/tmp
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/node", "/opt/sallyport/cli/sallyport.mjs"]

# The agent of a node. Root, since Kubernetes gives a capability to no other user; the chart leaves it NET_ADMIN.
FROM ${NODE_BASE} AS node
RUN for tool in nft conntrack ip setpriv sysctl; do \
      PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || missing="$missing $tool"; \
    done; \
    [ -z "$missing" ] || { apt-get update && apt-get install -y --no-install-recommends nftables conntrack iproute2 util-linux procps && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /out/app /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
USER 0:0
WORKDIR /
ENTRYPOINT ["/usr/local/bin/node", "/opt/sallyport/cli/sallyport.mjs"]
