//! The steps of a story, and how they are drawn. A step names things by their place among those that exist when its turn
//! comes, so that a story stays meaningful when steps are taken out of it. A further operation is a variant of [`Step`], a
//! line in `step`, the path and the body of its request, and an arm of `Model::answer`.

mod chances;
mod pairs;
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
    /// One of the caller's that is made for this work, by its place.
    For(Work, usize),
    Alias(AliasName),
    /// An id that nobody has.
    Nobodys,
}

/// What keys are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Symmetric,
    Signing,
    AsymmetricEncryption,
}

/// What a call with a pair names beside its key.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The place of the version among those of the key; one that nobody has if there is none.
    version: Option<usize>,
    /// The place of the algorithm among those of the usage.
    algorithm: usize,
    /// Whether the algorithm is one of the key's spec.
    fits: bool,
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

/// What an import brings.
#[derive(Debug, Clone, Copy)]
pub enum Brings {
    /// The same byte as often as the key asks for, and so many more.
    Material(u8, usize),
    /// Material that is wrapped otherwise than the token asks for.
    OtherAlgorithm,
    /// Bytes that nobody wrapped.
    Noise,
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
        usage: Option<&'static str>,
        external: bool,
        rotation: Option<&'static str>,
        alias: Option<&'static str>,
        description: Option<&'static str>,
        tags: Option<Tags>,
        token: Option<&'static str>,
    },
    EnableKey(KeyName),
    DisableKey(KeyName),
    /// Its disabling is rehearsed, or not any more.
    Rehearse(KeyName, bool),
    DescribeKey(KeyName),
    /// In so many days.
    ScheduleDeletion(KeyName, i64),
    CancelDeletion(KeyName),
    Protect(KeyName, Option<&'static str>),
    Unprotect(KeyName),
    ListDestroyed {
        number: u64,
        size: u64,
        spec: Option<&'static str>,
    },
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
    CreateVersion(KeyName, Option<&'static str>),
    ListVersions {
        key: KeyName,
        number: u64,
        size: u64,
    },
    /// A version of some key: of this one, or of another.
    DescribeVersion(KeyName, Which, usize),
    /// For one of the keys with material from outside, or for any.
    ImportParameters {
        of: Which,
        key: Option<KeyName>,
        algorithm: &'static str,
        token: Option<&'static str>,
    },
    /// With a token of one of the keys with material from outside: into that key, or into any.
    Import {
        of: Which,
        number: usize,
        key: Option<KeyName>,
        brings: Brings,
        /// Material that ends so many seconds from now.
        ends: Option<i64>,
    },
    DeleteMaterial(Which, Option<KeyName>),
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
    /// Of a digest that consists of this byte.
    Sign(KeyName, Part, u8),
    Verify(Which, Fate),
    /// So many bytes.
    AsymmetricEncrypt(KeyName, Part, usize),
    AsymmetricDecrypt(Which, Fate),
    ShowPublicKey(KeyName, Part),
    /// The ciphertext of a pair; with so many of the three fields that say how it was made.
    ReEncryptAsymmetric {
        shut: Which,
        fate: Fate,
        to: KeyName,
        context: Option<&'static str>,
        fields: usize,
    },
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
