//! A story as it goes: the service, the model beside it, and what was called. Each answer is compared at once, and all that
//! the model knows at the end.

mod attempts;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::reference::{Account, Model, is_pair};
use super::steps::{Caller, Fate, KeyName, Step, TagFilter, Which};
use crate::kit::{AccessPoint, Answer, OpenApi, START, Service, poll};
use crate::material::PARAMETERS;

/// Keys that a service may hold here: few, so that a story meets the quota.
const QUOTA: u64 = 8;
/// Versions of key pairs that an account may have here.
const CAP: u64 = 6;

/// What a story came to: each operation that was called, and the code of its refusal.
pub type Told = Vec<(String, Option<String>)>;

/// Where service and model parted: after how many steps, and how.
pub struct Difference {
    pub steps: usize,
    pub text: String,
}

/// One call as the audit trail should know it.
struct Called {
    id: String,
    account: usize,
    event: String,
    code: Option<String>,
    /// Keys whose disabling was rehearsed then.
    rehearsing: Vec<String>,
}

pub struct Story {
    service: Service,
    model: Model,
    /// First-run and createAccount told these.
    tenants: [Value; 2],
    people: [OpenApi; 2],
    /// Calls with a `clientToken`, to be made again.
    creations: Vec<(Caller, &'static str, Value)>,
    calls: Vec<Called>,
    /// What happened, for whoever has to understand a failure.
    told: String,
}

impl Story {
    /// A fresh appliance with two tenants.
    pub fn begin() -> Self {
        let service = Service::start_with(|config| {
            config.quota.keys_per_base_instance = QUOTA;
            config.quota.asymmetric_versions_per_account = CAP;
            config.audit.retention_days = 0;
            config.import.spare_wrapping_keys = 1;
        });
        let (second, account) = service.tenant();
        let (people, tenants) = ([service.admin(), second], [service.first.clone(), account]);
        let accounts = tenants.each_ref().map(|tenant| Account {
            id: tenant["accountId"].as_str().unwrap().into(),
            service: tenant["instanceId"].as_str().unwrap().into(),
            access_point: tenant["accessPointId"].as_str().unwrap().into(),
            aliases: Default::default(),
            credentials: Vec::new(),
        });
        let model = Model::new(START.seconds(), QUOTA as usize, CAP as usize, accounts);
        let (creations, calls, told) = (Vec::new(), Vec::new(), String::new());
        Self { service, model, tenants, people, creations, calls, told }
    }

    /// Tells the whole story, or says where service and model part.
    pub fn tell(mut self, steps: &[(Caller, Step)]) -> Result<Told, Difference> {
        let (mut told, mut outcome) = (0, Ok(()));
        while let (Ok(()), Some((by, step))) = (&outcome, steps.get(told)) {
            outcome = self.step(*by, step);
            told += 1;
        }
        match outcome.and_then(|()| self.end()) {
            Ok(()) => Ok(self.calls.into_iter().map(|call| (call.event, call.code)).collect()),
            Err(text) => {
                Err(Difference { steps: told, text: format!("{text}\nWhat happened:\n{}", self.told) })
            }
        }
    }

    /// A second goes by, and somebody does something.
    fn step(&mut self, by: Caller, step: &Step) -> Result<(), String> {
        self.wait(1)?;
        match step {
            Step::Again(number) => match self.creations.len() {
                0 => Ok(()),
                count => {
                    let (by, path, body) = self.creations[number % count].clone();
                    self.call(by, path, &body)
                }
            },
            Step::Wait(seconds) => self.wait(*seconds),
            Step::Restart => {
                self.told.push_str("  the service restarts\n");
                self.service.restart();
                self.people = self.tenants.each_ref().map(|tenant| self.service.person(tenant));
                Ok(())
            }
            _ => {
                let Some((path, body)) = step.request(by, &self.model) else { return Ok(()) };
                let place = by.credential.filter(|_| !step.is_for_people());
                let credential = place.and_then(|place| self.model.signer(by.account, place));
                self.call(Caller { credential, ..by }, path, &body)
            }
        }
    }

    /// Time goes by, and what became due is done before anybody calls.
    fn wait(&mut self, seconds: u64) -> Result<(), String> {
        self.service.clock.advance(Duration::from_secs(seconds));
        self.model.now += seconds as i64;
        if seconds > 1 {
            writeln!(self.told, "  {seconds} seconds go by").unwrap();
        }
        self.settle()
    }

    /// Asks for what createKey does not tell, and waits for the scheduler where the model says that it has something to do.
    fn settle(&mut self) -> Result<(), String> {
        while let Some(at) = self.model.untold() {
            let key = self.model.keys[at].clone();
            let by = Caller { account: key.account, credential: None };
            self.call(by, "/versionControl/listKeyVersions", &json!({"cmkUuid": key.id}))?;
        }
        // First: what is destroyed has nothing else to do.
        while let Some(at) = self.model.over() {
            let (key, app) = (self.model.keys[at].id.clone(), self.service.app());
            let id = serde_json::from_value(json!(key)).unwrap();
            let mut gone = || app.keys.get(&id).unwrap().is_none().then_some(());
            wait_for(&mut gone).ok_or_else(|| format!("the window of key {key} is over, but it is there"))?;
            self.model.destroyed(at);
        }
        self.settle_imports()?;
        // The comparison at the end of a call comes here too, so what is due is asked anew each time.
        while let Some(at) = self.model.due() {
            let key = self.model.keys[at].clone();
            let (by, body) = (Caller { account: key.account, credential: None }, json!({"cmkUuid": key.id}));
            let primary = |answer: Answer| answer.success().map(|key| key["primaryKeyVersion"].clone());
            let old = key.versions.last().map(|version| json!(version));
            let mut ask = || {
                primary(self.send(by, "/keyManage/describeKey", &body))
                    .filter(|now| Some(now) != old.as_ref())
            };
            let Some(version) = wait_for(&mut ask) else {
                return Err(format!("key {} is due, but is not rotated", key.id));
            };
            self.model.rotated(at, &version);
            self.call(by, "/keyManage/describeKey", &body)?;
        }
        Ok(())
    }

    /// Learns the version of a key's first material, and waits until the service has forgotten the tokens that it should.
    fn settle_imports(&mut self) -> Result<(), String> {
        while let Some(at) = self.model.bound() {
            let key = self.model.keys[at].clone();
            let (by, body) = (Caller { account: key.account, credential: None }, json!({"cmkUuid": key.id}));
            let described = self.send(by, "/keyManage/describeKey", &body).result();
            self.model.binds(at, &described["primaryKeyVersion"]);
        }
        self.model.end_imports();
        for key in self.model.external() {
            let (id, app) = (serde_json::from_value(json!(key.id)).unwrap(), self.service.app());
            let wanted = key.import.as_ref().map(|import| import.tokens.len());
            let mut same = || {
                let stored = app.keys.get(&id).unwrap().map(|stored| stored.import.tokens.len());
                (stored == wanted).then_some(())
            };
            wait_for(&mut same).ok_or_else(|| format!("key {} has other tokens than {wanted:?}", key.id))?;
        }
        Ok(())
    }

    /// Makes a call and compares its answer with the model's.
    fn call(&mut self, by: Caller, path: &'static str, body: &Value) -> Result<(), String> {
        let answer = self.send(by, path, body);
        let came = answer.success().ok_or_else(|| answer.code());
        let (operation, null) = (path.rsplit('/').next().unwrap(), Value::Null);
        let shown: String = format!("{came:?}").chars().take(600).collect();
        let line = format!("{by:?} {operation} {}\n      -> {shown}", short(body));
        writeln!(self.told, "  {line}").unwrap();
        let expected = self.model.answer(by, operation, body, came.clone().unwrap_or(&null));
        let difference = match (&expected, &came) {
            (Ok(expected), Ok(came)) => differs(expected, came, "result"),
            (Err(expected), Err(came)) if expected == came => None,
            (expected, _) => Some(format!("expected {expected:?}")),
        };
        if came.is_ok() && body["clientToken"].is_string() {
            self.creations.push((by, path, body.clone()));
        }
        match difference {
            Some(difference) => Err(format!("{line}\n      {difference}")),
            // A key that was due while it was switched off gets its version as soon as it is on.
            None => self.settle(),
        }
    }

    fn send(&mut self, by: Caller, path: &str, body: &Value) -> Answer {
        if path == PARAMETERS {
            let device = self.service.app().machine.device();
            poll("a wrapping key", || (device.spare_keys() > 0).then_some(()));
        }
        let answer = match by.credential {
            None => self.people[by.account].call(path, body.clone()),
            Some(number) => {
                let credential = self.model.accounts[by.account].credentials[number].clone();
                let (access_key, secret_key) = (credential.access_key, credential.secret_key);
                let person = &self.people[by.account];
                let (endpoint, clock) = (self.service.ready.access_point.clone(), person.clock.clone());
                let agent = person.agent.clone();
                AccessPoint { endpoint, access_key, secret_key, clock, agent }.call(path, body.clone())
            }
        };
        let id = answer.header("ctyun-eop-request-id").or(answer.header("x-request-id"));
        let code = answer.success().is_none().then(|| answer.code());
        let event = path.rsplit('/').next().unwrap().to_owned();
        // Callers whom nobody knows belong to no account; the first tenant, who administers, sees their records.
        let account = if code.as_deref() == Some("KMS.9041") { 0 } else { by.account };
        let rehearsing = self.model.rehearsing();
        self.calls.push(Called { id: id.unwrap().to_owned(), account, event, code, rehearsing });
        answer
    }

    /// After one more restart everything is still there, and every call is in the audit trail once.
    fn end(&mut self) -> Result<(), String> {
        self.told.push_str("  the end: everything is asked for\n");
        self.step(Caller { account: 0, credential: None }, &Step::Restart)?;
        for account in 0..2 {
            let by = Caller { account, credential: None };
            for number in 1..=3 {
                let (size, tags) = (3, TagFilter::default());
                for list in [
                    Step::ListAliases { number, size },
                    Step::ListTagResources { keys: None, number, size, tags: tags.clone() },
                    Step::ListTagKeys { number, size: 10 },
                    Step::ListDestroyed { number, size: 10, spec: None },
                    Step::ListKeys { number, size, state: None, spec: None, part: None, tags },
                    Step::ListCredentials { of: Which::Own(0), number, size: 50 },
                ] {
                    self.step(by, &list)?;
                }
            }
            for name in self.model.accounts[account].aliases.clone().into_keys() {
                self.call(by, "/keyManage/describeKey", &json!({"cmkUuid": name}))?;
            }
            for credential in 0..self.model.accounts[account].credentials.len() {
                self.wait(1)?;
                let by = Caller { account, credential: Some(credential) };
                self.call(by, "/get/messageDigest", &json!({"input": "abc"}))?;
            }
            let sealed = self.model.sealed.iter().filter(|sealed| sealed.account == account).count();
            for place in 0..sealed {
                self.step(by, &Step::GetDataKey(Which::Own(place), Fate::Whole))?;
            }
            for key in self.model.keys.clone().iter().filter(|key| key.account == account) {
                self.call(by, "/cmkManage/enableKey", &json!({"cmkUuid": key.id}))?;
                for version in &key.versions {
                    let body = json!({"cmkUuid": key.id, "keyVersionId": version});
                    match is_pair(&key.spec) {
                        true => self.call(by, "/asymmetric/getPublicKey", &body)?,
                        false => {
                            let mac = json!({"cmkUuid": key.id, "keyVersionId": version, "input": "abc"});
                            self.call(by, "/get/hmaccompute", &mac)?;
                        }
                    }
                }
            }
            let signed = self.model.signed.iter().filter(|signed| signed.account == account).count();
            for place in 0..signed {
                self.step(by, &Step::Verify(Which::Own(place), Fate::Whole))?;
            }
            let shut = self.model.shut.iter().filter(|shut| shut.account == account).count();
            for place in 0..shut {
                self.step(by, &Step::AsymmetricDecrypt(Which::Own(place), Fate::Whole))?;
            }
            for place in 0..sealed {
                self.step(by, &Step::Decrypt(Which::Own(place), Fate::Whole))?;
            }
            self.step(by, &Step::DescribeKey(KeyName::Id(Which::Own(0))))?;
        }
        self.check_records()?;
        attempts::check(self)
    }

    /// One record of every call, one of every rotation, no other, and a whole chain.
    fn check_records(&self) -> Result<(), String> {
        for (account, person) in self.people.iter().enumerate() {
            let records = records(person);
            let mut calls = records.iter().filter(|record| record["eventType"] != "SYSTEM");
            // The second tenant was made before the story began.
            let mut made = (account == 0).then(|| calls.next().unwrap()["eventName"].clone()).into_iter();
            if made.any(|event| event != "createAccount") {
                return Err("the trail does not begin with createAccount".into());
            }
            let mut mine = self.calls.iter().filter(|call| call.account == account);
            loop {
                match (mine.next(), calls.next()) {
                    (None, None) => break,
                    (Some(call), Some(record)) if call.is(record) => {}
                    (call, record) => {
                        let call = call.map(|call| (&call.id, &call.event, &call.code));
                        return Err(format!("the call {call:?} has the record {record:?}"));
                    }
                }
            }
            let rotated =
                |record: &&Value| record["eventName"] == "rotateDueKey" && record["errorCode"].is_null();
            let (found, wanted) = (records.iter().filter(rotated).count(), self.model.rotations(account));
            if found != wanted {
                return Err(format!("{found} records of rotations instead of {wanted}"));
            }
            let destroyed =
                |record: &&Value| record["eventName"] == "destroyKey" && record["errorCode"].is_null();
            let (found, wanted) =
                (records.iter().filter(destroyed).count(), self.model.destructions(account));
            if found != wanted {
                return Err(format!("{found} records of destructions instead of {wanted}"));
            }
        }
        let verified = self.people[0].ok("/audit/verifyAudit", json!({}));
        let whole = verified["intact"] == true && verified["nextCursor"].is_null();
        if whole { Ok(()) } else { Err(format!("the trail is not whole: {verified}")) }
    }
}

impl Called {
    fn is(&self, record: &Value) -> bool {
        let code = self.code.as_deref();
        record["requestId"] == self.id
            && record["eventName"] == self.event
            && record["errorCode"].as_str() == code
    }
}

/// Asks again and again until there is an answer, for many ticks of the scheduler.
fn wait_for<T>(ask: &mut impl FnMut() -> Option<T>) -> Option<T> {
    (0..200).find_map(|_| {
        let answer = ask();
        if answer.is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        answer
    })
}

/// All records that a person may see, oldest first.
fn records(person: &OpenApi) -> Vec<Value> {
    let (mut records, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = person.ok("/audit/queryAudit", json!({"pageSize": 100, "cursor": cursor}));
        records.extend(page["records"].as_array().unwrap().iter().cloned());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            records.reverse();
            return records;
        }
    }
}

/// Where a result is not what was expected: every expected field must be as it should, `null` for one that must be absent.
fn differs(expected: &Value, came: &Value, at: &str) -> Option<String> {
    match (expected, came) {
        (Value::Object(fields), Value::Object(_)) => {
            fields.iter().find_map(|(name, value)| differs(value, &came[name], &format!("{at}.{name}")))
        }
        (Value::Array(expected), Value::Array(came)) if expected.len() == came.len() => {
            let pairs = expected.iter().zip(came).enumerate();
            pairs.into_iter().find_map(|(number, (e, c))| differs(e, c, &format!("{at}[{number}]")))
        }
        (expected, came) if expected == came => None,
        (expected, came) => Some(format!("{at} is {came}, expected {expected}")),
    }
}

/// A body without what is absent, and shortened where it is long.
fn short(body: &Value) -> String {
    let fields = body.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(name, value)| {
        let value = value.to_string();
        let end = if value.chars().count() > 60 { "…" } else { "" };
        format!("{name}: {}{end}", value.chars().take(60).collect::<String>())
    });
    fields.collect::<Vec<_>>().join(", ")
}
