# Everything a developer types. `make` lists it.

GO            ?= go
GOLANGCI_LINT ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   ?= golang.org/x/vuln/cmd/govulncheck@v1.9.0
SWAGGER_UI    ?= 5.35.0
VERSION       ?= $(shell git describe --tags --always 2>/dev/null || echo dev)
FUZZTIME      ?= 30s

.PHONY: help run build test check lint vuln contract fuzz bench reference docker

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: ## serve on 127.0.0.1:8080
	$(GO) run ./cmd/server

build: ## the static binary, bin/server
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/server ./cmd/server

test: ## format, vet, and all tests under the race detector
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	$(GO) vet ./...
	@for tool in node npm python3 java; do \
		command -v $$tool >/dev/null || echo "no $$tool: the tests that need it are skipped, or fail with CI=true"; \
	done
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC) >/dev/null; then \
		echo "$(GO) test -race ./..."; $(GO) test -race -timeout 10m ./...; \
	else \
		echo "no C compiler: the race detector is left out"; $(GO) test -timeout 10m ./...; \
	fi

check: test lint vuln contract ## test, and everything that needs tools from the network
	$(GO) mod tidy -diff

lint: ## golangci-lint
	$(GO) run $(GOLANGCI_LINT) run

vuln: ## govulncheck; needs the vulnerability database
	$(GO) run $(GOVULNCHECK) ./...

contract: ## the linters' view of openapi.yaml and asyncapi.yaml
	CI=true $(GO) test -run 'Lint|AsyncAPIIsValid' .

fuzz: ## every fuzz target for FUZZTIME
	@for target in $$(grep -rhoE --include=*_test.go 'func Fuzz[A-Za-z]+' . | cut -c6- | sort); do \
		package=$$(dirname $$(grep -rlE --include=*_test.go "func $$target\(" .)); \
		echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
	done
	$(GO) test -run PropertyContract -timeout 0 . -rapid.checks 1000 -rapid.seed $$(date +%s)

bench: ## all benchmarks, each against its floor, with the server's GC setting
	GOGC=400 $(GO) test -run '^$$' -bench . -benchtime 3s ./engine ./api ./ws ./client/worker ./handlers/exec ./handlers/webhook

reference: ## take the reference page's viewer from npm again
	@cd internal/docs/assets && rm -f swagger-ui* && npm pack --silent swagger-ui-dist@$(SWAGGER_UI) && tar xzf swagger-ui-dist-*.tgz && \
		gzip -9n <package/swagger-ui-bundle.js >swagger-ui-bundle.js.gz && gzip -9n <package/swagger-ui.css >swagger-ui.css.gz && \
		cp package/LICENSE package/NOTICE . && cp package/swagger-ui-bundle.js.LICENSE.txt LICENSE-bundled.txt && \
		rm -r package swagger-ui-dist-*.tgz

docker: ## the image
	docker build --build-arg VERSION=$(VERSION) -t activemessage .
