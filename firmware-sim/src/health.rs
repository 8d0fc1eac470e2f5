//! Health tests of the random source: NIST SP 800-90B section 4, over bytes that are taken to have full entropy, 8 bits. Every
//! byte that the machine draws passes them before it is used. Imports the source's trait; it draws nothing but the start-up
//! samples.
//!
//! False alarms: the cutoffs are those of the standard's formulas for a rate of 2^-80. Two million bytes a second from a good source
//! then raise one in thousands of millions of years.

use crate::entropy::{Entropy, EntropyFailed};

/// Names of the tests.
pub(crate) const START_UP: &str = "entropy start-up";
pub(crate) const REPETITION: &str = "entropy repetition count";
pub(crate) const PROPORTION: &str = "entropy adaptive proportion";
pub(crate) const BLOCK: &str = "entropy repeated block";

/// Section 4.4.1: 1 + ⌈80 / 8⌉ equal bytes in a row, at a false-positive rate of 2^-80.
const REPETITION_CUTOFF: u8 = 11;
/// Section 4.4.2: samples in a window, for samples of more than one bit.
const WINDOW: u16 = 512;
/// Section 4.4.2: 1 + CRITBINOM(512, 2^-8, 1 - 2^-80) samples in a window that equal its first one.
const PROPORTION_CUTOFF: u16 = 30;
/// What is compared of two draws that follow each other; the machine's nonces have this length, its salts and keys are longer.
const BLOCK_BYTES: usize = 12;
/// Section 4.3, requirement 4: at least 1,024 samples, drawn in several blocks so that the block test takes part.
const START_UP_BLOCKS: usize = 16;
const START_UP_BLOCK_BYTES: usize = 64;

/// The continuous tests of one source and where they stand.
pub(crate) struct Health {
    /// The test that is shown constant bytes instead of what was drawn.
    corrupt: Option<&'static str>,
    repetition: Repetition,
    proportion: Proportion,
    block: Block,
}

impl Health {
    /// Of a source that has given nothing yet.
    pub(crate) fn new(corrupt: Option<&'static str>) -> Self {
        Self {
            corrupt,
            repetition: Repetition { last: 0, run: 0 },
            proportion: Proportion { first: 0, equal: 0, left: 0 },
            block: Block(None),
        }
    }

    /// Looks at one draw; names the test that it fails.
    pub(crate) fn check(&mut self, drawn: &[u8]) -> Result<(), &'static str> {
        let stuck = if self.corrupt.is_some() { vec![0; drawn.len()] } else { Vec::new() };
        let seen = |test| if self.corrupt == Some(test) { stuck.as_slice() } else { drawn };
        if !self.repetition.accepts(seen(REPETITION)) {
            return Err(REPETITION);
        }
        if !self.proportion.accepts(seen(PROPORTION)) {
            return Err(PROPORTION);
        }
        if !self.block.accepts(seen(BLOCK)) {
            return Err(BLOCK);
        }
        Ok(())
    }
}

/// The start-up test: the continuous tests over 1,024 fresh samples, which are then thrown away. A source that gives none fails.
pub(crate) fn start_up(source: &dyn Entropy, corrupt: Option<&'static str>) -> Result<(), &'static str> {
    let mut health = Health::new(None);
    let mut samples = [0; START_UP_BLOCK_BYTES];
    for _ in 0..START_UP_BLOCKS {
        source.fill(&mut samples).map_err(|EntropyFailed| START_UP)?;
        if corrupt == Some(START_UP) {
            samples.fill(0);
        }
        health.check(&samples).map_err(|_| START_UP)?;
    }
    Ok(())
}

/// The repetition count test.
struct Repetition {
    last: u8,
    run: u8,
}

impl Repetition {
    fn accepts(&mut self, drawn: &[u8]) -> bool {
        let mut longest = self.run;
        for byte in drawn {
            self.run = if self.run > 0 && *byte == self.last { self.run.saturating_add(1) } else { 1 };
            self.last = *byte;
            longest = longest.max(self.run);
        }
        longest < REPETITION_CUTOFF
    }
}

/// The adaptive proportion test.
struct Proportion {
    /// The sample that the window began with.
    first: u8,
    /// How many samples of the window equal it, itself included.
    equal: u16,
    /// How many samples the window still lacks.
    left: u16,
}

impl Proportion {
    fn accepts(&mut self, mut drawn: &[u8]) -> bool {
        while let Some(first) = drawn.first() {
            if self.left == 0 {
                *self = Self { first: *first, equal: 0, left: WINDOW };
            }
            let (now, later) = drawn.split_at(drawn.len().min(usize::from(self.left)));
            let equal = now.iter().filter(|byte| **byte == self.first).count();
            // Both fit: a window has 512 samples.
            self.equal += equal as u16;
            self.left -= now.len() as u16;
            if self.equal >= PROPORTION_CUTOFF {
                return false;
            }
            drawn = later;
        }
        true
    }
}

/// Two draws that begin alike: a source that is stuck at one output, or was restored to an earlier state between the two.
struct Block(Option<[u8; BLOCK_BYTES]>);

impl Block {
    fn accepts(&mut self, drawn: &[u8]) -> bool {
        let Some(block) = drawn.first_chunk() else { return true };
        self.0.replace(*block) != Some(*block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look drawn: SM3 of a counter.
    fn good(draw: u64, length: usize) -> Vec<u8> {
        let blocks = (0..).flat_map(|part: u64| {
            crate::alg::sm3::digest(&[draw.to_be_bytes(), part.to_be_bytes()].concat())
        });
        blocks.take(length).collect()
    }

    #[test]
    fn a_good_source_passes_a_long_run() {
        let mut health = Health::new(None);
        for draw in 0..20_000 {
            assert_eq!(health.check(&good(draw, 1 + draw as usize % 70)), Ok(()));
        }
    }

    #[test]
    fn eleven_equal_bytes_in_a_row_fail_across_draws_too() {
        let mut health = Health::new(None);
        assert_eq!(health.check(&[9, 7, 7, 7, 7]), Ok(()));
        assert_eq!(health.check(&[7; 6]), Ok(()));
        assert_eq!(health.check(&[7]), Err(REPETITION));
        assert_eq!(Health::new(None).check(&[0; 10]), Ok(()), "the first byte is no repetition");
        assert_eq!(Health::new(None).check(&[0; 11]), Err(REPETITION));
    }

    #[test]
    fn thirty_of_a_window_fail_and_twenty_nine_do_not() {
        for (equal, expected) in [(29, Ok(())), (30, Err(PROPORTION))] {
            let mut window: Vec<u8> = (0..512).map(|at| 1 + (at % 255) as u8).collect();
            // Nothing else of the window equals its first byte, which is 0.
            (0..equal).for_each(|at| window[at * 17] = 0);
            assert_eq!(Health::new(None).check(&window), expected, "{equal} of a window");
            let mut pieces = Health::new(None);
            let result = window.chunks(16).try_for_each(|piece| pieces.check(piece));
            assert_eq!(result, expected, "{equal} of a window in pieces");
            let mut next = Health::new(None);
            next.check(&good(0, 256)).expect("half a window");
            let _ = next.check(&good(1, 256));
            assert_eq!(next.check(&window), expected, "{equal} of the second window");
        }
    }

    #[test]
    fn two_draws_that_begin_alike_fail() {
        let mut health = Health::new(None);
        let (one, other) = (good(1, 16), good(2, 16));
        assert_eq!([&one, &other, &one].map(|drawn| health.check(drawn)), [Ok(()); 3]);
        assert_eq!(health.check(&one[..11]), Ok(()), "a short draw is no block");
        assert_eq!(health.check(&one[..12]), Err(BLOCK));
    }

    struct Source(fn(u64, &mut [u8]) -> Result<(), EntropyFailed>, std::sync::atomic::AtomicU64);

    impl Entropy for Source {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
            (self.0)(self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed), out)
        }
    }

    #[test]
    fn the_start_up_test_tells_sources_apart() {
        fn works(draw: u64, out: &mut [u8]) -> Result<(), EntropyFailed> {
            out.copy_from_slice(&good(draw, out.len()));
            Ok(())
        }
        let run = |fill, corrupt| start_up(&Source(fill, 0.into()), corrupt);
        assert_eq!(run(works, None), Ok(()));
        assert_eq!(run(works, Some(REPETITION)), Ok(()), "that one is for later");
        assert_eq!(run(works, Some(START_UP)), Err(START_UP));
        assert_eq!(run(|_, _| Err(EntropyFailed), None), Err(START_UP));
        assert_eq!(run(|draw, out| works(draw / 2, out), None), Err(START_UP), "the same block twice");
        assert_eq!(run(|draw, out| works(draw, out).map(|()| out[..12].fill(3)), None), Err(START_UP));
        let biased = |draw, out: &mut [u8]| {
            works(draw, out)?;
            out.iter_mut().step_by(8).for_each(|byte| *byte = 5);
            Ok(())
        };
        assert_eq!(run(biased, None), Err(START_UP), "an eighth of all bytes is the same");
        let dies = |draw, out: &mut [u8]| if draw < 15 { works(draw, out) } else { Err(EntropyFailed) };
        assert_eq!(run(dies, None), Err(START_UP), "it ends in the last block");
    }
}
