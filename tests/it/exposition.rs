//! A strict reader of Prometheus' text format, version 0.0.4, written from its description and apart from the library that
//! writes it. What is not exactly as described is an error.

use std::collections::{BTreeMap, BTreeSet};

/// Label names and values.
pub type Labels = BTreeMap<String, String>;

/// Everything that was read at one moment.
#[derive(Debug)]
pub struct Scrape(pub BTreeMap<String, Family>);

/// The lines of one metric.
#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// One line with a number. The name has its ending: `_bucket`, `_sum` or `_count` of a histogram.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

impl Scrape {
    /// Reads it all, or says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut open: Option<String> = None;
        let body = text.strip_suffix('\n').ok_or("the last line does not end")?;
        for line in body.split('\n') {
            let wrong = |reason: &str| format!("{reason}: {line}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no text"))?;
                let help = unescape(help, "\\n").ok_or_else(|| wrong("escape"))?;
                if !is_name(name, true) || help.is_empty() {
                    return Err(wrong("name or text of HELP"));
                }
                let family = Family { kind: String::new(), help, samples: Vec::new() };
                if families.insert(name.into(), family).is_some() {
                    return Err(wrong("a metric comes twice"));
                }
                open = Some(name.into());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                let family = families.get_mut(name).filter(|_| open.as_deref() == Some(name));
                let family = family.ok_or_else(|| wrong("TYPE does not follow its HELP"))?;
                let known = ["counter", "gauge", "histogram", "untyped"].contains(&kind);
                if !known || !family.kind.is_empty() || !family.samples.is_empty() {
                    return Err(wrong("TYPE"));
                }
                family.kind = kind.into();
            } else {
                let sample = Sample::parse(line).ok_or_else(|| wrong("not a sample"))?;
                let family = open.as_ref().and_then(|name| Some((name, families.get_mut(name)?)));
                let (name, family) = family.ok_or_else(|| wrong("a sample without a metric"))?;
                let ending =
                    sample.name.strip_prefix(name.as_str()).ok_or_else(|| wrong("a stray sample"))?;
                let fits = match family.kind.as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"].contains(&ending),
                    "" => false,
                    _ => ending.is_empty(),
                };
                if !fits {
                    return Err(wrong("a sample of another metric"));
                }
                family.samples.push(sample);
            }
        }
        for (name, family) in &families {
            family.check().map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(Self(families))
    }

    /// All samples of this name.
    pub fn samples(&self, name: &str) -> Vec<&Sample> {
        self.0.values().flat_map(|family| &family.samples).filter(|sample| sample.name == name).collect()
    }

    /// The sum of the samples of this name that have these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.samples(name);
        assert!(!samples.is_empty(), "there is no {name}");
        let fits = |sample: &&&Sample| {
            labels.iter().all(|(name, value)| sample.labels.get(*name).map(String::as_str) == Some(value))
        };
        samples.iter().filter(fits).map(|sample| sample.value).sum()
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest)?,
            None => (Labels::new(), rest),
        };
        let value = value.strip_prefix(' ')?;
        let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e');
        let known = ["NaN", "+Inf", "-Inf"].contains(&value);
        if !is_name(name, true) || !(known || value.bytes().all(plain)) {
            return None;
        }
        Some(Self { name: name.into(), labels, value: value.parse().ok()? })
    }
}

/// Reads labels up to the closing brace; returns what follows it.
fn parse_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        let (name, tail) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = tail.find(|character| {
            let closes = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            closes
        })?;
        let value = unescape(&tail[..end], "\\n\"")?;
        if !is_name(name, false) || labels.insert(name.into(), value).is_some() {
            return None;
        }
        match tail[end + 1..].strip_prefix(',') {
            Some(next) => rest = next,
            None => return Some((labels, tail[end + 1..].strip_prefix('}')?)),
        }
    }
}

fn unescape(text: &str, allowed: &str) -> Option<String> {
    let (mut plain, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next().filter(|escape| allowed.contains(*escape))? {
                'n' => plain.push('\n'),
                other => plain.push(other),
            },
            other => plain.push(other),
        }
    }
    Some(plain)
}

fn is_name(name: &str, colons: bool) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    name.bytes().all(part) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

impl Family {
    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(format!("twice: {sample:?}"));
            }
            let total = sample.name.ends_with("_total");
            if (self.kind == "counter") != total || (self.kind != "gauge" && sample.value < 0.0) {
                return Err(format!("a counter ends in _total and is never negative: {sample:?}"));
            }
        }
        match self.kind.as_str() {
            "" => Err("no TYPE".into()),
            "histogram" => self.check_histogram(),
            _ => Ok(()),
        }
    }

    /// Buckets are cumulative, their bounds rise, the last one is +Inf and has as many as `_count` says.
    fn check_histogram(&self) -> Result<(), String> {
        let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").and_then(|bound| bound.parse().ok()).ok_or("le")?;
            groups.entry(labels).or_default().push((bound, sample.value));
        }
        let one = |ending: &str, labels: &Labels| {
            let fits = |sample: &&Sample| sample.name.ends_with(ending) && sample.labels == *labels;
            self.samples.iter().find(fits).map(|sample| sample.value).ok_or(format!("no {ending}"))
        };
        for (labels, buckets) in &groups {
            let rises = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let last = buckets.last().copied().ok_or("no buckets")?;
            if !rises || last != (f64::INFINITY, one("_count", labels)?) {
                return Err(format!("{labels:?}: {buckets:?}"));
            }
            one("_sum", labels)?;
        }
        let counts = self.samples.iter().filter(|sample| sample.name.ends_with("_count")).count();
        if counts == groups.len() { Ok(()) } else { Err("a count without buckets".into()) }
    }
}

#[test]
fn the_format_is_read_as_it_is_described() {
    let good = "# HELP a_total x \\\\ \\n y\n# TYPE a_total counter\na_total{b=\"\\\"\\\\\\n\",c=\"d,}\"} 1e3\n\
        # HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";
    let scrape = Scrape::parse(good).unwrap();
    assert_eq!(scrape.value("a_total", &[("b", "\"\\\n"), ("c", "d,}")]), 1000.0);
    assert_eq!((scrape.value("h_sum", &[]), scrape.0["a_total"].help.as_str()), (3.5, "x \\ \n y"));
    for (old, new) in [
        ("h_count 2\n", "h_count 2"),
        ("h_count 2", "h_count 3"),
        ("h_sum 3.5\n", ""),
        ("{le=\"1\"} 1", "{le=\"1\"} 3"),
        ("h_bucket{le=\"+Inf\"} 2\n", ""),
        ("# TYPE h histogram\n", ""),
        ("# TYPE h histogram", "# TYPE h bars"),
        ("# HELP h x\n", ""),
        ("# HELP h x", "# HELP a_total x"),
        ("a_total{b", "a_total{1b"),
        ("a_total{b", "b_total{b"),
        (",c=\"d,}\"", ",b=\"d,}\""),
        ("\\\"\\\\", "\\x"),
        (" 1e3", " 0x10"),
        (" 1e3", "  1"),
        ("1e3\n", "1e3\n\n"),
        ("1e3", "-1"),
    ] {
        assert!(good.contains(old), "{old}");
        assert!(Scrape::parse(&good.replacen(old, new, 1)).is_err(), "{old} → {new}");
    }
}
