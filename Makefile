# The commands that README names.
.PHONY: run test check bench advisories

# Builds the release and starts the service on ./data.
run:
	cargo build --release --locked
	./target/release/yaoku serve

# Every test. Third-party vectors are used where ../shared/vectors/open exists.
test:
	cargo test --workspace --locked

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
