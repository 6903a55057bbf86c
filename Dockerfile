FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /server ./cmd/server && mkdir /data

FROM gcr.io/distroless/static:nonroot
ARG VERSION=dev
LABEL org.opencontainers.image.title="activemessage" \
      org.opencontainers.image.description="POST a typed message, a bounded pool of handlers runs it, subscribers are told how it ended." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /server /server
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
ENV AM_LISTEN=0.0.0.0:8080 AM_DATA=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s CMD ["/server", "--healthcheck"]
ENTRYPOINT ["/server"]
