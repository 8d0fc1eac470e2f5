//! The calls of a story: each answer is compared at once.

use serde_json::{Value, json};

use super::super::reference::{Expected, Life, Parted, State, TOKEN_LIFE, Token, judge};
use super::super::steps::{Kind, Step};
use super::{Captured, Creation, KEYS, Story};
use crate::kit::{base64, new_id, poll};
use crate::material::{DELETE, IMPORT, PARAMETERS, Way, asked};

const ALGORITHM: &str = "RSAES_OAEP_SHA_256";
/// Seconds after which nobody remembers a person's request, and its date is refused.
const MEMORY: i64 = 32 * 60;

impl Story {
    pub(super) fn call(&mut self, step: &Step) -> Result<(), Parted> {
        match *step {
            Step::Create(kind) => self.create(kind),
            Step::CreateAgain(number) => self.create_again(number),
            Step::Capture(sent) => self.capture(sent),
            Step::Replay(number) => self.replay(number),
            Step::Credential(on) => self.switch_credential(on),
            Step::UseCredential => self.use_credential(),
            Step::Enable(key) => {
                self.with(key, "/cmkManage/enableKey", |key, time| key.switch(State::Enabled, &time))
            }
            Step::Disable(key) => {
                self.with(key, "/cmkManage/disableKey", |key, time| key.switch(State::Disabled, &time))
            }
            Step::Cancel(key) => {
                self.with(key, "/cmkManage/cancelKeyDeletion", |key, time| key.cancel(&time))
            }
            Step::Protect(key, true) => {
                self.with(key, "/cmkManage/deleteProtect", |key, _| key.protect(true))
            }
            Step::Protect(key, false) => {
                self.with(key, "/cmkManage/cancelDeleteProtect", |key, _| key.protect(false))
            }
            Step::Schedule(key, days) => self.schedule(key, days),
            Step::Encrypt(key) => self.encrypt(key),
            Step::Decrypt(key, number) => self.decrypt(key, number),
            Step::Token(key) => self.token(key),
            Step::Import(key, token, ends) => self.import(key, token, ends),
            Step::DeleteMaterial(key) => match self.external(key) {
                Some(key) => self.with(key, DELETE, |key, _| key.delete_material()),
                None => Ok(()),
            },
            Step::Wait(_) | Step::Restart | Step::Kill => Ok(()),
        }
    }

    /// Calls as the application, and compares what came with what should have.
    fn ask(&mut self, path: &str, body: &Value, expected: Expected) -> Result<Option<Value>, Parted> {
        let answer = self.application.call(path, body.clone());
        let came = answer.success().cloned().ok_or_else(|| answer.code());
        self.count.calls += 1;
        self.count.refused_after_end += usize::from(matches!(expected, Err((_, true))));
        let what = format!("{path} {}", body["cmkUuid"]);
        self.note(format_args!("{what} -> {:.300}", format!("{came:?}")));
        judge(expected, &came, &what)?;
        Ok(came.ok())
    }

    /// One of the keys, the youngest ones also once they are gone.
    fn pick(&self, place: usize) -> Option<usize> {
        let mut there: Vec<usize> = (0..self.keys.len()).filter(|at| !self.keys[*at].gone).collect();
        there.extend((0..self.keys.len()).rev().filter(|at| self.keys[*at].gone).take(2));
        (!there.is_empty()).then(|| there[place % there.len()])
    }

    fn external(&self, place: usize) -> Option<usize> {
        let there = (0..self.keys.len()).filter(|at| self.keys[*at].kind == Kind::External);
        let there: Vec<usize> = there.rev().take(4).collect();
        (!there.is_empty()).then(|| there[place % there.len()])
    }

    /// A call that names a key and nothing else.
    fn with(
        &mut self,
        place: usize,
        path: &str,
        change: impl FnOnce(&mut Life, super::Time) -> Expected,
    ) -> Result<(), Parted> {
        let at = if path == DELETE { Some(place) } else { self.pick(place) };
        let Some(at) = at else { return Ok(()) };
        let expected = change(&mut self.keys[at], self.time);
        let body = json!({"cmkUuid": self.keys[at].id});
        self.ask(path, &body, expected).map(drop)
    }

    fn create(&mut self, kind: Kind) -> Result<(), Parted> {
        if self.keys.iter().filter(|key| !key.gone).count() >= KEYS {
            return Ok(());
        }
        let mut body = match kind {
            Kind::Plain => json!({}),
            Kind::Rotating(days) => {
                json!({"enableAutomaticRotation": true, "rotationInterval": format!("{days}d")})
            }
            Kind::External => json!({"origin": "External"}),
        };
        let alias = self.keys.len().is_multiple_of(2).then(|| format!("alias/key-{}", self.keys.len()));
        match &alias {
            Some(alias) => body["aliasName"] = json!(alias),
            None => body["clientToken"] = json!(new_id()),
        }
        let made = self.ask("/cmkManage/createKey", &body, Ok(()))?.unwrap();
        self.keys.push(Life::new(made["cmkUuid"].clone(), kind, alias.clone(), &self.time));
        if alias.is_none() {
            let over = self.time.known + TOKEN_LIFE;
            self.creations.push(Creation { body, kind, key: made["cmkUuid"].clone(), over });
        }
        Ok(())
    }

    /// Within a day by true time the first key once more, and another one after.
    fn create_again(&mut self, number: usize) -> Result<(), Parted> {
        let full = self.keys.iter().filter(|key| !key.gone).count() >= KEYS;
        if self.creations.is_empty() {
            return Ok(());
        }
        let at = self.creations.len() - 1 - number % self.creations.len().min(3);
        let first = &self.creations[at];
        let (body, good, kind) = (first.body.clone(), first.over > self.time.known, first.kind);
        if full && !good {
            return Ok(());
        }
        let key = first.key.clone();
        let made = self.ask("/cmkManage/createKey", &body, Ok(()))?.unwrap()["cmkUuid"].clone();
        match (good, made == key) {
            (true, true) => Ok(()),
            (true, false) => Err((super::Fault::Other, "a creation was done twice".into())),
            (false, true) => Err((super::Fault::Revival, "a clientToken is good after its day".into())),
            (false, false) => {
                self.keys.push(Life::new(made.clone(), kind, None, &self.time));
                self.creations[at].key = made;
                self.creations[at].over = self.time.known + TOKEN_LIFE;
                Ok(())
            }
        }
    }

    fn schedule(&mut self, place: usize, days: i64) -> Result<(), Parted> {
        let Some(at) = self.pick(place) else { return Ok(()) };
        let expected = self.keys[at].schedule(days, &self.time);
        let body = json!({"cmkUuid": self.keys[at].id, "pendingWindowInDays": days});
        self.ask("/cmkManage/scheduleKeyDeletion", &body, expected).map(drop)
    }

    fn encrypt(&mut self, place: usize) -> Result<(), Parted> {
        let Some(at) = self.pick(place) else { return Ok(()) };
        let expected = self.keys[at].use_it(&self.time);
        let body = json!({"cmkUuid": self.keys[at].id, "plaintext": base64("kept")});
        if let Some(sealed) = self.ask("/keyCompute/encrypt", &body, expected)? {
            self.keys[at].ciphertexts.push(sealed["ciphertextBlob"].clone());
        }
        Ok(())
    }

    fn decrypt(&mut self, place: usize, number: usize) -> Result<(), Parted> {
        let Some(at) = self.pick(place) else { return Ok(()) };
        let key = &self.keys[at];
        let Some(ciphertext) = key.ciphertexts.get(number % key.ciphertexts.len().max(1)) else {
            return self.encrypt(place);
        };
        let (body, expected) = (json!({"ciphertextBlob": ciphertext}), key.use_it(&self.time));
        match self.ask("/keyCompute/decrypt", &body, expected)? {
            Some(opened) if opened["plaintext"] != base64("kept") => {
                Err((super::Fault::Other, "another plaintext".into()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A token is good for a day by the time that is known.
    fn token(&mut self, place: usize) -> Result<(), Parted> {
        let Some(at) = self.external(place) else { return Ok(()) };
        let key = &self.keys[at];
        let expected = key.there();
        if expected.is_ok() {
            let device = self.service.app().machine.device();
            poll("a wrapping key", || (device.spare_keys() > 0).then_some(()));
        }
        let body = asked(&key.id, ALGORITHM);
        if let Some(given) = self.ask(PARAMETERS, &body, expected)? {
            let key = &mut self.keys[at];
            key.tokens.retain(|token| token.expires + TOKEN_LIFE > self.time.known);
            if key.tokens.len() == 10 {
                key.tokens.remove(0);
            }
            let way = Way::of(&key.id, ALGORITHM, &given);
            key.tokens.push(Token { way, expires: self.time.known + TOKEN_LIFE });
        }
        Ok(())
    }

    fn import(&mut self, place: usize, token: usize, ends: Option<i64>) -> Result<(), Parted> {
        let Some(at) = self.external(place) else { return Ok(()) };
        if self.keys[at].tokens.is_empty() {
            self.token(place)?;
        }
        if self.keys[at].tokens.is_empty() {
            return Ok(());
        }
        let (key, time) = (&mut self.keys[at], self.time);
        let token = token % key.tokens.len();
        let end = ends.map(|seconds| time.truth + seconds);
        let mut body = key.tokens[token].way.body(&[at as u8 + 1; 32]);
        body["keyMaterialExpireUnix"] = json!(end.unwrap_or(0));
        let expected = key.import(token, end, &time);
        self.ask(IMPORT, &body, expected).map(drop)
    }

    /// Of a call that counts as one that changes something: the ids of others are not remembered over a restart (contract 2.1).
    fn capture(&mut self, sent: bool) -> Result<(), Parted> {
        let request = self.admin.request("/get/messageDigest", br#"{"input":"a"}"#);
        let accepted = sent && self.admin.send(request.clone()).success().is_some();
        if accepted && !self.time.lets_people_in() {
            return Err((super::Fault::Revival, "a request dated before the memory was accepted".into()));
        }
        self.note(format_args!("a request is captured; accepted: {accepted}"));
        self.captured.push(Captured { request, date: self.time.wall, accepted });
        Ok(())
    }

    /// Nothing is accepted twice, and nothing from before the memory of what was.
    fn replay(&mut self, number: usize) -> Result<(), Parted> {
        if self.captured.is_empty() {
            return Ok(());
        }
        let at = self.captured.len() - 1 - number % self.captured.len().min(4);
        let captured = &mut self.captured[at];
        let over = captured.accepted || self.time.known - captured.date > MEMORY;
        let came = self.admin.send(captured.request.clone()).success().is_some();
        self.count.calls += 1;
        self.count.refused_after_end += usize::from(over);
        captured.accepted |= came;
        match over && came {
            true => Err((super::Fault::Revival, format!("a captured request of {}", captured.date))),
            false => Ok(()),
        }
    }

    /// Where the administrator gets in.
    fn switch_credential(&mut self, on: bool) -> Result<(), Parted> {
        if self.time.lets_people_in() {
            let path = if on { "/userAk/enableUserAk" } else { "/userAk/disableUserAk" };
            self.admin.ok(path, json!({"accessKey": self.spare.0.access_key}));
            self.spare.1 = on;
        }
        Ok(())
    }

    fn use_credential(&mut self) -> Result<(), Parted> {
        let answer = self.spare.0.call("/get/messageDigest", json!({"input": "a"}));
        let came = answer.success().cloned().ok_or_else(|| answer.code());
        self.count.calls += 1;
        let expected = if self.spare.1 { Ok(()) } else { Err(("KMS.9042", false)) };
        judge(expected, &came, "the second credential")
    }
}
