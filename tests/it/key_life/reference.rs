//! What should come of it all, by plain true time and what the appliance could know of it. All moments are seconds since 1970.

use serde_json::Value;

use super::steps::Kind;
use crate::material::Way;

pub const DAY: i64 = 86_400;
/// How far the wall clock may be off before it is in doubt.
const TOLERANCE: i64 = 600;
/// How long a machine may have been off.
const MAX_GAP: i64 = 30 * DAY;
/// How long an import token and a `clientToken` are good.
pub const TOKEN_LIFE: i64 = DAY;

/// How service and reference parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Early,
    Revival,
    Illegal,
    Refused,
    Stuck,
    Other,
}

impl Fault {
    pub const ALL: [(&str, Self); 6] = [
        ("early_destructions", Self::Early),
        ("revivals", Self::Revival),
        ("illegal_accepted", Self::Illegal),
        ("legal_refused", Self::Refused),
        ("stuck", Self::Stuck),
        ("other_differences", Self::Other),
    ];
}

/// Where service and reference part.
pub type Parted = (Fault, String);

/// What a call should come to: nothing, or this code; and whether it is because something has run out.
pub type Expected = Result<(), (&'static str, bool)>;

/// The clocks.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// The true time.
    pub truth: i64,
    /// What the wall clock shows.
    pub wall: i64,
    /// The latest time that the appliance can be sure has come.
    pub known: i64,
}

impl Time {
    pub fn trusted(&self) -> bool {
        (self.wall - self.known).abs() <= TOLERANCE
    }

    /// What has run out by then is of no use.
    pub fn horizon(&self) -> i64 {
        self.wall.max(self.known)
    }

    /// What has run out by then goes.
    fn settled(&self) -> Option<i64> {
        self.trusted().then_some(self.wall.min(self.known))
    }

    /// Time goes by.
    pub fn pass(&mut self, seconds: i64) {
        self.truth += seconds;
        self.wall += seconds;
        self.known += seconds;
    }

    /// What the machine's start makes of it, after it was off for some seconds and shows `wall`.
    pub fn start_anew(&self, off: i64, wall: i64) -> Self {
        let was_ahead = self.wall - self.known > TOLERANCE && wall >= self.wall - TOLERANCE;
        let believed = (0..=MAX_GAP).contains(&(wall - self.known)) && !was_ahead;
        let known = if believed { wall } else { self.known };
        Self { truth: self.truth + off, wall, known }
    }

    /// Whether the appliance takes a wrong time for right, as nobody in its place could tell.
    pub fn deceived(&self) -> bool {
        self.trusted() && (self.wall - self.truth).abs() > TOLERANCE
    }

    /// Whether people get in, whose requests are dated by the wall clock.
    pub fn lets_people_in(&self) -> bool {
        self.wall >= self.known - TOLERANCE
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Enabled,
    Disabled,
    Pending {
        end: i64,
    },
    /// It waits for material.
    Empty,
}

/// An import token.
pub struct Token {
    pub way: Way,
    pub expires: i64,
}

/// One key.
pub struct Life {
    pub id: Value,
    pub kind: Kind,
    pub alias: Option<String>,
    pub state: State,
    pub protected: bool,
    /// When the material that is there ends, if it ever does.
    pub material: Option<Option<i64>>,
    pub tokens: Vec<Token>,
    pub ciphertexts: Vec<Value>,
    pub next_rotation: Option<i64>,
    pub rotations: u64,
    pub gone: bool,
}

impl Life {
    pub fn new(id: Value, kind: Kind, alias: Option<String>, time: &Time) -> Self {
        let (state, material) = match kind {
            Kind::External => (State::Empty, None),
            Kind::Plain | Kind::Rotating(_) => (State::Enabled, Some(None)),
        };
        let next_rotation = match kind {
            Kind::Rotating(days) => Some(time.known + days * DAY),
            Kind::Plain | Kind::External => None,
        };
        let (tokens, ciphertexts) = (Vec::new(), Vec::new());
        Self {
            id,
            kind,
            alias,
            state,
            protected: false,
            material,
            tokens,
            ciphertexts,
            next_rotation,
            rotations: 0,
            gone: false,
        }
    }

    /// The state that is shown, and whether it is so because the material has run out.
    pub fn shown(&self, time: &Time) -> (State, bool) {
        let over = matches!(self.material, Some(Some(end)) if end <= time.horizon());
        match self.state {
            State::Enabled | State::Disabled if over => (State::Empty, true),
            State::Pending { end } => (self.state, end <= time.horizon()),
            state => (state, false),
        }
    }

    pub fn use_it(&self, time: &Time) -> Expected {
        self.there()?;
        match self.shown(time) {
            (State::Enabled, _) => Ok(()),
            (State::Disabled, _) => Err(("KMS.9010", false)),
            (State::Pending { .. }, over) => Err(("KMS.9011", over)),
            (State::Empty, over) => Err(("KMS.9012", over)),
        }
    }

    pub fn switch(&mut self, to: State, time: &Time) -> Expected {
        self.there()?;
        match self.shown(time) {
            (State::Enabled | State::Disabled, _) => {
                self.state = to;
                Ok(())
            }
            (State::Pending { .. } | State::Empty, over) => Err(("KMS.9013", over)),
        }
    }

    pub fn schedule(&mut self, days: i64, time: &Time) -> Expected {
        self.there()?;
        match self.state {
            _ if !time.trusted() => Err(("KMS.9071", false)),
            State::Pending { .. } => Err(("KMS.9013", false)),
            _ if self.protected => Err(("KMS.9014", false)),
            State::Enabled | State::Disabled | State::Empty => {
                self.state = State::Pending { end: time.horizon() + days * DAY };
                Ok(())
            }
        }
    }

    pub fn cancel(&mut self, time: &Time) -> Expected {
        self.there()?;
        match self.state {
            State::Pending { end } if end > time.horizon() => {
                self.state = if self.material.is_some() { State::Enabled } else { State::Empty };
                Ok(())
            }
            State::Pending { .. } => Err(("KMS.9013", true)),
            State::Enabled | State::Disabled | State::Empty => Err(("KMS.9013", false)),
        }
    }

    pub fn protect(&mut self, on: bool) -> Expected {
        self.there()?;
        match self.state {
            State::Pending { .. } => Err(("KMS.9011", false)),
            State::Enabled | State::Disabled | State::Empty => {
                self.protected = on;
                Ok(())
            }
        }
    }

    pub fn import(&mut self, token: usize, end: Option<i64>, time: &Time) -> Expected {
        self.there()?;
        if let State::Pending { .. } = self.state {
            return Err(("KMS.9013", false));
        }
        if end.is_some_and(|end| end <= time.horizon()) {
            return Err(("KMS.9020", true));
        }
        if self.tokens[token].expires <= time.horizon() {
            return Err(("KMS.9024", true));
        }
        if self.shown(time).0 == State::Empty {
            self.state = State::Enabled;
        }
        self.material = Some(end);
        Ok(())
    }

    pub fn delete_material(&mut self) -> Expected {
        self.there()?;
        self.lose_material();
        Ok(())
    }

    fn lose_material(&mut self) {
        self.material = None;
        if !matches!(self.state, State::Pending { .. }) {
            self.state = State::Empty;
        }
    }

    pub fn there(&self) -> Expected {
        if self.gone { Err(("KMS.9001", true)) } else { Ok(()) }
    }

    /// What the scheduler does with the key: how many keys, materials and rotations that was.
    pub fn tick(&mut self, time: &Time) -> Result<[usize; 3], Parted> {
        let (mut gone, mut emptied, mut rotated) = (0, 0, 0);
        if let Some(settled) = time.settled().filter(|_| !self.gone) {
            self.tokens.retain(|token| token.expires + TOKEN_LIFE > settled);
            let end = match (self.state, self.material) {
                (State::Pending { end }, _) if end <= settled => {
                    (self.gone, gone) = (true, 1);
                    Some(end)
                }
                (_, Some(Some(end))) if end <= settled => {
                    self.lose_material();
                    emptied = 1;
                    Some(end)
                }
                _ => None,
            };
            // So much for the reference itself.
            if end.is_some_and(|end| end > time.truth) {
                return Err((Fault::Early, format!("{} ends before its time", self.id)));
            }
        }
        if let (false, State::Enabled, Kind::Rotating(days), Some(next)) =
            (self.gone, self.state, self.kind, self.next_rotation)
            && next <= time.known
        {
            self.next_rotation = Some(time.known + days * DAY);
            self.rotations += 1;
            rotated = 1;
        }
        Ok([gone, emptied, rotated])
    }
}

/// Compares what came of a call with what should have.
pub fn judge(expected: Expected, came: &Result<Value, String>, what: &str) -> Result<(), Parted> {
    let fault = match (&expected, came) {
        (Ok(()), Ok(_)) => return Ok(()),
        (Err((code, _)), Err(came)) if code == came => return Ok(()),
        (Err((_, true)), Ok(_)) => Fault::Revival,
        (Err((_, false)), Ok(_)) => Fault::Illegal,
        (Ok(()) | Err(_), Err(came)) if came == "KMS.9001" => Fault::Early,
        (Ok(()), Err(_)) => Fault::Refused,
        (Err(_), Err(_)) => Fault::Other,
    };
    Err((fault, format!("{what}: expected {expected:?}, came {came:?}")))
}
