# What is built, tested and checked here. "make" alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.PHONY: help demo build release image test e2e long bench lint fmt generate notice mutants cold clean \
	check-cgo check-notice check-generated check-rules check-tools check-code

# Static, and without the paths of the machine that built it. The same flags serve tests and lint, because
# Go caches by flags what it compiles, and the Kubernetes API server takes minutes to compile once.
flags := -trimpath -buildvcs=false
export CGO_ENABLED := 0
export GOFLAGS := $(flags) $(filter-out $(flags),$(GOFLAGS))

# The tag, and how far we are from it; before the first tag, the commit; outside a repository, what the code says.
VERSION := $(shell git describe --tags --dirty 2>/dev/null || git rev-parse --short HEAD 2>/dev/null | sed 's/^/v0.0.0-dev+/')

ldflags := $(if $(VERSION),-s -w -X refit.dev/refit/internal/app.Version=$(VERSION))

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build Refit and watch it upgrade a fleet on this machine
	bin/refit demo

build: ## bin/refit, a static binary
	go build -o bin/refit $(if $(ldflags),-ldflags '$(ldflags)') ./cmd/refit

release: ## dist/: archives for linux and darwin, checksums, bills of materials; ARGS='-platforms linux/amd64' is quicker
	go run -C tools/release . -C $(CURDIR) -version '$(or $(VERSION),v0.0.0-dev)' -ldflags '$(ldflags)' \
		-time "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" $(ARGS) ./cmd/refit

image: ## dist/: OCI archives of what a cluster runs, for amd64 and arm64; ARGS='-processors amd64' is quicker
	go run -C tools/image . -C $(CURDIR) -version '$(or $(VERSION),v0.0.0-dev)' -ldflags '$(ldflags)' \
		-revision "$$(git rev-parse HEAD 2>/dev/null)" -time "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" $(ARGS) ./cmd/refit

test: ## every test that needs Go and gcc only, under the race detector
	.ci/test

e2e: build ## the journeys on real control planes, one at a time, and that they leave nothing behind
	.ci/e2e

long: ## what takes too long for every change: more properties, everything under the race detector, benchmarks
	RAPID_CHECKS=3000 go test -tags long -count 1 -timeout 2h ./internal/fleet/... ./internal/plan/... ./internal/sim/...
	CGO_ENABLED=1 go test -race -count 1 -timeout 2h ./...
	CGO_ENABLED=1 go build -race -o bin/refit ./cmd/refit
	.ci/e2e -tags e2e,long -timeout 4h
	$(MAKE) bench

bench: build ## the benchmarks
	go test -run '^$$' -bench . -benchmem ./...
	go test -tags e2e -run '^$$' -bench . -benchtime 1x ./test/e2e

mutants: ## break the planners in small ways, and list what no test notices; ARGS='-sample 150' is quicker
	go run -C tools/mutants . -C $(CURDIR) -accepted accepted.txt $(ARGS)

lint: check-cgo check-notice check-generated check-tools check-rules check-code ## everything that is wrong without running it

fmt: ## format the code
	tools/run lint golangci-lint fmt

generate: ## write what follows from api/: deep copies and the chart's CRDs
	tools/gen/generate api/v1alpha1 deploy/chart/kinds

notice: ## write NOTICE, from the modules that are linked
	@new=$$(mktemp); trap 'rm -f "$$new"' EXIT; \
	go run -C tools/notice . -C $(CURDIR) ./cmd/refit > "$$new"; cat "$$new" > NOTICE

cold: ## what a stranger's first hour is like: every command in a fresh clone with empty caches
	.ci/cold

clean: ## remove what was built here; caches stay
	rm -rf bin dist dist.partial

# The parts of lint, the quick ones first.

check-cgo:
	@found=$$(CGO_ENABLED=1 go list -tags e2e,long -f '{{with .CgoFiles}}{{$$.ImportPath}}: {{.}}{{end}}' ./...); \
	[ -z "$$found" ] || { echo "cgo is not used here, but in $$found"; exit 1; }

check-notice:
	@new=$$(mktemp); trap 'rm -f "$$new"' EXIT; \
	go run -C tools/notice . -C $(CURDIR) ./cmd/refit > "$$new"; \
	diff -u NOTICE "$$new" || { echo "NOTICE is out of date: run make notice"; exit 1; }

check-generated:
	@new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; \
	tools/gen/generate "$$new/api" "$$new/crds"; \
	diff -u api/v1alpha1/zz_generated.deepcopy.go "$$new/api/zz_generated.deepcopy.go" && diff -ru deploy/chart/kinds "$$new/crds" || \
		{ echo "generated files do not follow from api/v1alpha1: run make generate"; exit 1; }

check-tools:
	go -C tools/gen test ./...
	go -C tools/notice test ./...
	go -C tools/mutants test ./...
	go -C tools/release test ./...
	go -C tools/image test ./...
	cd tools/gen && ../run lint golangci-lint run --config ../../.golangci.yml ./...
	cd tools/notice && ../run lint golangci-lint run --config ../../.golangci.yml ./...
	cd tools/mutants && ../run lint golangci-lint run --config ../../.golangci.yml ./...
	cd tools/release && ../run lint golangci-lint run --config ../../.golangci.yml ./...
	cd tools/image && ../run lint golangci-lint run --config ../../.golangci.yml ./...
	cd tools/rules && ../run lint golangci-lint run --config ../../.golangci.yml ./...

check-rules:
	go -C tools/rules test -count 1 ./...

check-code:
	tools/run lint golangci-lint run ./...
