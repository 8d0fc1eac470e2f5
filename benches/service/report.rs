//! Prints the measurements: a row for each load, the two sides beside each other, the figures at the end.

use crate::load::Figures;

/// Collects what the end of the report needs.
#[derive(Default)]
pub struct Report {
    pub failures: u64,
    echo: Vec<Figures>,
    encrypt: Vec<Figures>,
    summary: Vec<String>,
}

impl Report {
    pub fn heading(&self) {
        println!(
            "\n{:<24}{:>6}{:>12}{:>9}{:>9}{:>10}{:>10}{:>13}{:>13}{:>11}",
            "call",
            "conn",
            "requests/s",
            "p50 µs",
            "p99 µs",
            "max µs",
            "failures",
            "server µs/r",
            "client µs/r",
            "server MB"
        );
    }

    /// A row of the baseline, kept for the comparison.
    pub fn echo(&mut self, figures: Figures) {
        self.row("echo", &figures);
        self.echo.push(figures);
    }

    /// A row of the service, kept for the comparison with the baseline at as many connections.
    pub fn encrypt(&mut self, figures: Figures) {
        self.row("encrypt", &figures);
        self.encrypt.push(figures);
    }

    /// A row by itself.
    pub fn row(&mut self, name: &str, figures: &Figures) {
        println!(
            "{name:<24}{:>6}{:>12.0}{:>9}{:>9}{:>10}{:>10}{:>13.1}{:>13.1}{:>11.1}",
            figures.connections,
            figures.calls_per_second(),
            figures.p50_us,
            figures.p99_us,
            figures.max_us,
            figures.failures,
            figures.server_cpu_us(),
            figures.client_cpu_us(),
            megabytes(figures.server_resident_bytes),
        );
        self.failures += figures.failures;
        if let Some(failure) = &figures.first_failure {
            println!("  first failure: {failure}");
        }
    }

    /// Echo and service beside each other.
    pub fn comparison(&self) {
        if self.encrypt.is_empty() {
            return;
        }
        println!(
            "\n{:>6}{:>14}{:>16}{:>16}{:>19}{:>12}",
            "conn", "echo req/s", "encrypt req/s", "echo server µs", "encrypt server µs", "CPU ratio"
        );
        for (echo, encrypt) in self.echo.iter().zip(&self.encrypt) {
            println!(
                "{:>6}{:>14.0}{:>16.0}{:>16.1}{:>19.1}{:>12.2}",
                echo.connections,
                echo.calls_per_second(),
                encrypt.calls_per_second(),
                echo.server_cpu_us(),
                encrypt.server_cpu_us(),
                cpu_ratio(echo, encrypt),
            );
        }
    }

    /// Remembers one of the figures that the run is made for.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str, aim: &str) {
        self.summary.push(format!("figure {name} {value:.1} {unit} (aim {aim})"));
    }

    /// Prints the figures, those of the rows with the most connections first.
    pub fn summary(&self) {
        println!();
        let pairs = self.echo.iter().zip(&self.encrypt);
        if let Some(most) = pairs.clone().map(|(echo, _)| echo.connections).max() {
            let pairs: Vec<_> = pairs.filter(|(echo, _)| echo.connections == most).collect();
            let rates = sorted(pairs.iter().map(|(_, encrypt)| encrypt.calls_per_second()));
            let ratios = sorted(pairs.iter().map(|(echo, encrypt)| cpu_ratio(echo, encrypt)));
            println!(
                "figure encrypt_{most}_connections {:.0} requests/s (aim 20000, floor 8000; median of {rates:.0?})",
                median(&rates)
            );
            println!(
                "figure cpu_ratio_{most}_connections {:.2} times_echo (aim at most 3; median of {ratios:.2?})",
                median(&ratios)
            );
        }
        for line in &self.summary {
            println!("{line}");
        }
        println!("figure failed_calls {} calls (aim 0)", self.failures);
    }

    /// The encrypt row of one connection, if there was one.
    pub fn encrypt_alone(&self) -> Option<&Figures> {
        self.encrypt.iter().find(|figures| figures.connections == 1)
    }
}

pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The one in the middle of sorted values.
pub fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// How many times the processor time of an echo an encryption costs the server.
fn cpu_ratio(echo: &Figures, encrypt: &Figures) -> f64 {
    encrypt.server_cpu_us() / echo.server_cpu_us().max(1e-9)
}
