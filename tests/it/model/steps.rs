//! The steps of a story, and how they are drawn. A step names things by their place among those that exist when its turn
//! comes, so that a story stays meaningful when steps are taken out of it. A further operation is a variant of [`Step`], a
//! line in `step`, the path and the body of its request, and an arm of `Model::answer`.

mod chances;
mod requests;

use std::fmt;

pub use chances::story;

/// Who calls: the person of a tenant, or an application with one of its credentials.
#[derive(Clone, Copy)]
pub struct Caller {
    pub account: usize,
    /// The place of the credential, see `Model::signer`; as long as there is none the person calls.
    pub credential: Option<usize>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = ["first", "second"][self.account];
        match self.credential {
            None => write!(f, "person of the {tenant} tenant:"),
            Some(number) => write!(f, "application of the {tenant} tenant, credential {number}:"),
        }
    }
}

/// One of the caller's things or of the other tenant's, by its place.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Own(usize),
    Foreign(usize),
}

/// A key in a request.
#[derive(Debug, Clone)]
pub enum KeyName {
    Id(Which),
    Alias(AliasName),
    /// An id that nobody has.
    Nobodys,
}

/// An alias in a request.
#[derive(Debug, Clone, Copy)]
pub enum AliasName {
    /// One that the caller's account has, by its place.
    Existing(usize),
    Text(&'static str),
}

/// What becomes of a ciphertext on its way.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Whole,
    CutOff,
    Altered,
    /// It begins otherwise.
    Headless,
    /// It begins as the first one of all does.
    OtherHead,
    OtherContext,
}

/// Keys of tags and their values.
pub type Tags = Vec<(&'static str, &'static str)>;

/// Which tags a list asks for.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    key: Option<&'static str>,
    value: Option<&'static str>,
    all: Option<Tags>,
}

#[derive(Debug, Clone)]
pub enum Step {
    CreateKey {
        spec: Option<&'static str>,
        rotation: Option<&'static str>,
        alias: Option<&'static str>,
        description: Option<&'static str>,
        tags: Option<Tags>,
        token: Option<&'static str>,
    },
    EnableKey(KeyName),
    DisableKey(KeyName),
    DescribeKey(KeyName),
    ListKeys {
        number: u64,
        size: u64,
        state: Option<&'static str>,
        spec: Option<&'static str>,
        part: Option<&'static str>,
        tags: TagFilter,
    },
    /// With a description of so many characters.
    DescribeOtherwise(KeyName, usize),
    CreateAlias {
        key: Which,
        alias: &'static str,
        token: Option<&'static str>,
    },
    UpdateAlias(KeyName, AliasName),
    DeleteAlias(AliasName),
    ListAliases {
        number: u64,
        size: u64,
    },
    ListAliasesOfKey {
        key: KeyName,
        number: u64,
        size: u64,
    },
    /// Rotation on or off, with or without an interval.
    SetRotation(KeyName, bool, Option<&'static str>),
    ListVersions {
        key: KeyName,
        number: u64,
        size: u64,
    },
    /// A version of some key: of this one, or of another.
    DescribeVersion(KeyName, Which, usize),
    Encrypt {
        key: KeyName,
        bytes: usize,
        context: Option<&'static str>,
    },
    Decrypt(Which, Fate),
    GenerateDataKey {
        key: KeyName,
        spec: Option<&'static str>,
        bytes: Option<u64>,
        context: Option<&'static str>,
        shown: bool,
    },
    GenerateAndExport {
        key: KeyName,
        bytes: Option<u64>,
        context: Option<&'static str>,
    },
    Export(Which, Fate),
    /// To a key, or to the newest version of the one that made it.
    ReEncrypt {
        sealed: Which,
        fate: Fate,
        to: Option<KeyName>,
        context: Option<&'static str>,
    },
    GetDataKey(Which, Fate),
    /// With a version of some key: of this one, or of another.
    Mac {
        key: KeyName,
        input: &'static str,
        version: Option<(Which, usize)>,
    },
    Digest(&'static str),
    CreateCredential {
        of: Which,
        token: Option<&'static str>,
    },
    EnableCredential(Which),
    DisableCredential(Which),
    DeleteCredential(Which),
    ListCredentials {
        of: Which,
        number: u64,
        size: u64,
    },
    Tag(Vec<KeyName>, Tags),
    Untag(Vec<KeyName>, Vec<&'static str>),
    ListTagResources {
        keys: Option<Vec<KeyName>>,
        number: u64,
        size: u64,
        tags: TagFilter,
    },
    ListTagKeys {
        number: u64,
        size: u64,
    },
    /// One of the calls with a `clientToken` again, to the letter.
    Again(usize),
    /// Seconds go by.
    Wait(u64),
    Restart,
}

const CONTEXTS: [&str; 2] = [r#"{"a":"1"}"#, r#"{"a":"1","b":"2"}"#];
