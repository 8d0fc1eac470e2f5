# The commands that README names.
.PHONY: run image test figures check bench timing nonces advisories document-check schemathesis example-check

# Builds the release and starts the service on ./data.
run:
	cargo build --release --locked
	./target/release/yaoku serve

# The container image `yaoku`, by docker or podman: make image ENGINE=podman
ENGINE = docker
image:
	$(ENGINE) build --tag yaoku .

# Every test. Third-party vectors are used where ../shared/vectors/open exists.
test:
	cargo test --workspace --locked

# The tests that print figures, and only what they print; LONG_RUN=1 make figures runs each for long.
FIGURES = asymmetric:: faults:: recovery:: full_disk:: bit_rot:: canaries:: hygiene:: container:: broken_settings:: kill:: power_cut:: audit_manipulation:: wrapping_key:: rotation:: import:: model:: refusals:: hardening:: nonces::
MACHINE_FIGURES = self_test:: key_pairs:: vectors:: trials:: collision:: nonces::
figures:
	@log=$$(mktemp); cargo test --locked --test it -- --nocapture --test-threads=2 $(FIGURES) >$$log 2>&1; code=$$?; \
	cargo test --locked -p firmware-sim --lib --test it -- --nocapture $(MACHINE_FIGURES) >>$$log 2>&1 || code=$$?; \
	grep -aE '^figure |^skipped|^no small disk|^not locked|panicked at|\.\.\. FAILED$$|^error' $$log; rm -f $$log; exit $$code

# Format, lints, licences and sources; no tests.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --workspace --offline check bans licenses sources

# Advisories against a local copy of the database: make advisories DB=DIR
advisories:
	cargo audit --db $(DB) --no-fetch --stale

# The service under load beside a bare TLS echo, then its parts. Prints machine, commit time and figures.
bench:
	cargo bench --locked --bench service
	cargo bench --locked --bench parts

# Whether decryptions that fail differently take differently long, in the machine. SAMPLES of each class: the default takes a
# minute or two of a quiet machine, 100000 half an hour.
SAMPLES = 5000
timing:
	cargo bench --locked --workspace --bench timing -- --samples $(SAMPLES)

# Ten million encryptions under one key version, and how many message keys repeat.
nonces:
	cargo bench --locked --workspace --bench nonces

# Python programs of the next three targets, in an environment of their own.
PYTHON = target/python
$(PYTHON)/installed: tests/schemathesis/requirements.txt
	python3 -m venv $(PYTHON)
	$(PYTHON)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The API documents of both planes against the OpenAPI 3.1 meta-schema.
document-check: $(PYTHON)/installed
	$(PYTHON)/bin/openapi-spec-validator tests/it/snapshots/openapi.json tests/it/snapshots/access-point.json

# 20,000 cases against both planes, anonymous and signed; fails on any finding. Takes many minutes; CASES=8000 is the least
# that makes sense, because about as many follow from the schemas alone.
CASES = 20000
schemathesis: $(PYTHON)/installed
	cargo build --locked
	$(PYTHON)/bin/python -B tests/schemathesis/run.py --program target/debug/yaoku --schemathesis $(PYTHON)/bin/schemathesis --cases $(CASES)

# Types of the example client; `cargo test --test it examples::` runs it.
example-check: $(PYTHON)/installed
	$(PYTHON)/bin/mypy --strict --cache-dir target/mypy examples/python/yaoku.py examples/python/tour.py
