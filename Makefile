# The commands that README names.
.PHONY: run image test figures check bench advisories

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
FIGURES = faults:: recovery:: full_disk:: bit_rot:: canaries:: hygiene:: container:: broken_settings:: kill:: power_cut:: audit_manipulation:: wrapping_key:: model:: refusals:: hardening::
figures:
	@log=$$(mktemp); cargo test --locked --test it -- --nocapture --test-threads=2 $(FIGURES) >$$log 2>&1; code=$$?; \
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
