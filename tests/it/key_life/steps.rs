//! The steps of a story and how they are drawn. A step names things by their place among those that exist when its turn comes,
//! so that a story stays meaningful when chapters are taken out of it.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Jumps of the wall clock in seconds: -10 y, -400 d, -1 d, -1 h, +1 h, +8 d, +31 d, +3 y.
pub const JUMPS: [i64; 8] = [-3650 * DAY, -400 * DAY, -DAY, -HOUR, HOUR, 8 * DAY, 31 * DAY, 3 * 365 * DAY];

/// What kind of key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// It rotates every so many days.
    Rotating(i64),
    External,
}

#[derive(Debug, Clone, Copy)]
pub enum Step {
    Create(Kind),
    /// A creation again, with its `clientToken`.
    CreateAgain(usize),
    Enable(usize),
    Disable(usize),
    Schedule(usize, i64),
    Cancel(usize),
    Protect(usize, bool),
    Encrypt(usize),
    /// One of the ciphertexts of a key.
    Decrypt(usize, usize),
    /// Parameters of an import for one of the keys with material from outside.
    Token(usize),
    /// With a token of that key: material that ends so many seconds from now.
    Import(usize, usize, Option<i64>),
    DeleteMaterial(usize),
    /// A person's request is captured; it was sent, or not yet.
    Capture(bool),
    Replay(usize),
    /// The second credential of the applications is switched.
    Credential(bool),
    UseCredential,
    Wait(i64),
    Restart,
    Kill,
}

/// How the wall clock is set.
#[derive(Debug, Clone, Copy)]
pub enum Setting {
    Running,
    /// The service is stopped for so long, and the machine runs on.
    Stopped(i64),
    /// The machine is off for so long.
    Off(i64),
}

/// How a chapter ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// The wall clock is set right; whether an administrator confirms it where it is still in doubt.
    Right(Setting, bool),
    /// An administrator confirms the wrong time, where they get in.
    AtWord,
}

/// What happens around one jump.
#[derive(Debug, Clone)]
pub struct Chapter {
    pub before: Vec<Step>,
    pub jump: (Setting, i64),
    pub after: Vec<Step>,
    pub end: End,
}

/// A story of so many chapters, one jump each.
pub fn story(chapters: usize, at_word: bool) -> impl Strategy<Value = Vec<Chapter>> {
    let setting = || {
        prop_oneof![
            16 => Just(Setting::Running),
            1 => select(&[MINUTE, 3 * HOUR, 9 * DAY, 45 * DAY][..]).prop_map(Setting::Stopped),
            1 => select(&[MINUTE, 3 * HOUR, 9 * DAY, 29 * DAY, 45 * DAY][..]).prop_map(Setting::Off),
        ]
    };
    let right = (setting(), weighted(0.8, Just(()))).prop_map(|(how, yes)| End::Right(how, yes.is_some()));
    let end = if at_word { prop_oneof![right, Just(End::AtWord)].boxed() } else { right.boxed() };
    let chapter = (vec(step(), 2..9), (setting(), select(&JUMPS[..])), vec(step(), 1..7), end)
        .prop_map(|(before, jump, after, end)| Chapter { before, jump, after, end });
    vec(chapter, chapters)
}

fn step() -> BoxedStrategy<Step> {
    let key = || 0..64usize;
    let kind = prop_oneof![
        1 => Just(Kind::Plain),
        1 => select(&[7, 10, 30][..]).prop_map(Kind::Rotating),
        2 => Just(Kind::External),
    ];
    let ends = select(&[HOUR, DAY, 8 * DAY, 40 * DAY][..]);
    let wait = select(&[MINUTE, 20 * MINUTE, HOUR, 6 * HOUR, DAY, 2 * DAY, 7 * DAY, 12 * DAY, 31 * DAY][..]);
    prop_oneof![
        6 => kind.prop_map(Step::Create),
        2 => any::<usize>().prop_map(Step::CreateAgain),
        2 => key().prop_map(Step::Enable),
        2 => key().prop_map(Step::Disable),
        8 => (key(), select(&[7, 8, 20, 30][..])).prop_map(|(key, days)| Step::Schedule(key, days)),
        4 => key().prop_map(Step::Cancel),
        1 => (key(), weighted(0.4, Just(()))).prop_map(|(key, on)| Step::Protect(key, on.is_some())),
        4 => key().prop_map(Step::Encrypt),
        6 => (key(), any::<usize>()).prop_map(|(key, number)| Step::Decrypt(key, number)),
        3 => key().prop_map(Step::Token),
        7 => (key(), any::<usize>(), weighted(0.8, ends))
            .prop_map(|(key, token, ends)| Step::Import(key, token, ends)),
        1 => key().prop_map(Step::DeleteMaterial),
        2 => any::<bool>().prop_map(Step::Capture),
        3 => any::<usize>().prop_map(Step::Replay),
        1 => any::<bool>().prop_map(Step::Credential),
        1 => Just(Step::UseCredential),
        12 => wait.prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
    .boxed()
}
