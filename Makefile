.PHONY: help venv demo bench test test-long check fix graphs lock

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

venv:
	@bash deploy/dev/venv.sh

demo: venv       ## the whole way on a real Kafka; ARGS=--exit ends by itself
	@.venv/bin/python -m streams.dev.demo $(ARGS)

bench: venv      ## what a worker can do here, on a real Kafka; ARGS="drain --json" for one
	@.venv/bin/streams bench $(ARGS)

# Each process has a broker of its own; the tests of a file stay together, and files come in their
# order, so that the last ones are short.
PROCESSES = 2
test: venv       ## the tests of every commit; PROCESSES=0 for one after the other
	@.venv/bin/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: venv  ## the same checks at full size
	@.venv/bin/pytest -m "long or not long" --timeout 3600 $(ARGS)

check: venv      ## format, lint, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy streams agents schemas
	.venv/bin/lint-imports

fix: venv        ## formats and mends what can be mended
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

graphs: venv     ## makes Grafana's dashboards anew
	@.venv/bin/python -m streams.dev.graphs deploy/grafana/dashboards

lock: venv       ## resolves the dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --no-emit-find-links \
		pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --extra console --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --no-emit-find-links \
		--constraint requirements.lock \
		pyproject.toml deploy/container/requirements.in -o deploy/container/requirements.lock
