//! How steps are drawn, and how likely each is. Few names for many things, so that they meet.

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::{select, subsequence};

use super::{AliasName, Brings, CONTEXTS, Caller, Fate, KeyName, Part, Step, TagFilter, Tags, Which, Work};
use crate::material::ALGORITHMS;
use crate::model::reference::is_pair;

const ALIASES: [&str; 5] = ["alias/a", "alias/b", "alias/b/2", "alias/C_d-e", "alias/ecs"];
const SPECS: [&str; 4] = ["AES_256", "Ctyun_SM4", "Ctyun_SM2", "RSA_2048"];
const INTERVALS: [&str; 3] = ["7d", "8d", "30d"];
const INPUTS: [&str; 3] = ["abc", "钥库", "a\nb"];
const TOKENS: [&str; 2] = ["first token", "second token"];
const NAMES: [&str; 3] = ["a", "b", "team"];
const VALUES: [&str; 3] = ["", "blue", "绿"];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A story: who does what, one after the other. It begins with some keys and credentials, so that there is something to
/// work on.
pub fn story(longest: usize) -> impl Strategy<Value = Vec<(Caller, Step)>> {
    let first = prop_oneof![3 => create_key().boxed(), 1 => create_credential().boxed()];
    let somebody = (0..2usize).prop_map(|account| Caller { account, credential: None });
    let (first, then) = (vec((somebody, first), 0..=10), vec((caller(), step()), 1..=longest));
    (first, then).prop_map(|(first, then)| [first, then].concat())
}

fn caller() -> impl Strategy<Value = Caller> {
    let credential = prop_oneof![Just(None), (0..16usize).prop_map(Some)];
    (prop_oneof![3 => Just(0usize), 1 => Just(1)], credential)
        .prop_map(|(account, credential)| Caller { account, credential })
}

fn step() -> BoxedStrategy<Step> {
    prop_oneof![
        4 => create_key(),
        3 => key().prop_map(Step::EnableKey),
        3 => key().prop_map(Step::DisableKey),
        4 => (key(), any::<bool>()).prop_map(|(key, on)| Step::Rehearse(key, on)),
        4 => key().prop_map(Step::DescribeKey),
        5 => list_keys(),
        4 => (key(), select(&[6, 7, 7, 8, 30][..])).prop_map(|(key, days)| Step::ScheduleDeletion(key, days)),
        4 => key().prop_map(Step::CancelDeletion),
        1 => (key(), of(select(&["", "why"][..]))).prop_map(|(key, why)| Step::Protect(key, why)),
        2 => key().prop_map(Step::Unprotect),
        2 => (page(), weighted(0.3, select(&SPECS[..])))
            .prop_map(|((number, size), spec)| Step::ListDestroyed { number, size, spec }),
        2 => (key(), select(&[0, 1, 255, 256][..]))
            .prop_map(|(key, characters)| Step::DescribeOtherwise(key, characters)),
        6 => (which(), select(&ALIASES[..]), token())
            .prop_map(|(key, alias, token)| Step::CreateAlias { key, alias, token }),
        4 => (key(), alias()).prop_map(|(key, alias)| Step::UpdateAlias(key, alias)),
        2 => alias().prop_map(Step::DeleteAlias),
        2 => page().prop_map(|(number, size)| Step::ListAliases { number, size }),
        2 => (key(), page())
            .prop_map(|(key, (number, size))| Step::ListAliasesOfKey { key, number, size }),
        4 => (key_for(Work::Symmetric), weighted(0.7, select(&INTERVALS[..])))
            .prop_map(|(key, interval)| Step::SetRotation(key, interval.is_some(), interval)),
        1 => (key(), any::<bool>(), of(select(&INTERVALS[..])))
            .prop_map(|(key, on, interval)| Step::SetRotation(key, on, interval)),
        3 => (key(), page()).prop_map(|(key, (number, size))| Step::ListVersions { key, number, size }),
        3 => (key(), which(), 0..4usize)
            .prop_map(|(key, which, number)| Step::DescribeVersion(key, which, number)),
        6 => (which(), weighted(0.1, key()), select(&ALGORITHMS[..]), token())
            .prop_map(|(of, key, algorithm, token)| Step::ImportParameters { of, key, algorithm, token }),
        16 => import(),
        3 => (which(), weighted(0.2, key())).prop_map(|(of, key)| Step::DeleteMaterial(of, key)),
        7 => (key_for(Work::Symmetric), length(), of(select(&CONTEXTS[..])))
            .prop_map(|(key, bytes, context)| Step::Encrypt { key, bytes, context }),
        9 => (which(), fate()).prop_map(|(sealed, fate)| Step::Decrypt(sealed, fate)),
        5 => generate_data_key(),
        2 => (key_for(Work::Symmetric), of(1..=1024u64), of(select(&CONTEXTS[..])))
            .prop_map(|(key, bytes, context)| Step::GenerateAndExport { key, bytes, context }),
        4 => (which(), fate()).prop_map(|(sealed, fate)| Step::Export(sealed, fate)),
        8 => (which(), fate(), weighted(0.6, key_for(Work::Symmetric)), of(select(&CONTEXTS[..])))
            .prop_map(|(sealed, fate, to, context)| Step::ReEncrypt { sealed, fate, to, context }),
        5 => (which(), fate()).prop_map(|(sealed, fate)| Step::GetDataKey(sealed, fate)),
        5 => (key_for(Work::Symmetric), select(&INPUTS[..]), of((which(), 0..4usize)))
            .prop_map(|(key, input, version)| Step::Mac { key, input, version }),
        1 => select(&INPUTS[..]).prop_map(Step::Digest),
        30 => pairs(),
        2 => create_credential(),
        2 => which().prop_map(Step::EnableCredential),
        2 => which().prop_map(Step::DisableCredential),
        1 => which().prop_map(Step::DeleteCredential),
        1 => (which(), page()).prop_map(|(of, (number, size))| Step::ListCredentials { of, number, size }),
        6 => (keys(), tags()).prop_map(|(keys, tags)| Step::Tag(keys, tags)),
        3 => (keys(), names()).prop_map(|(keys, names)| Step::Untag(keys, names)),
        5 => list_tag_resources(),
        2 => page().prop_map(|(number, size)| Step::ListTagKeys { number, size }),
        3 => (0..4usize).prop_map(Step::Again),
        4 => select(&[1, 23 * HOUR, DAY, 7 * DAY, 30 * DAY][..]).prop_map(Step::Wait),
        2 => Just(Step::Restart),
    ]
    .boxed()
}

fn create_key() -> impl Strategy<Value = Step> {
    // Pairs do not rotate, and nothing from outside does.
    let rotation = (of(select(&INTERVALS[..])), weighted(0.1, Just(())));
    let description = of(select(&["", "first", "第二"][..]));
    let alias = weighted(0.4, select(&ALIASES[..]));
    let made = (kind(), weighted(0.3, Just(())));
    (made, rotation, alias, description, weighted(0.5, tags()), token()).prop_map(
        |(((spec, usage), outside), (rotation, all), alias, description, tags, token)| Step::CreateKey {
            spec,
            usage,
            external: outside.is_some() && (all.is_some() || !spec.is_some_and(is_pair)),
            rotation: rotation.filter(|_| all.is_some() || !(spec.is_some_and(is_pair) || outside.is_some())),
            alias,
            description,
            tags,
            token,
        },
    )
}

/// Spec and usage; RSA keys take their time. Symmetric keys sign nothing.
fn kind() -> impl Strategy<Value = (Option<&'static str>, Option<&'static str>)> {
    const SIGNS: Option<&str> = Some("SIGN/VERIFY");
    prop_oneof![
        9 => of(select(&SPECS[..2])).prop_map(|spec| (spec, None)),
        4 => Just((Some("Ctyun_SM2"), SIGNS)),
        4 => Just((Some("Ctyun_SM2"), None)),
        1 => Just((Some("RSA_2048"), SIGNS)),
        1 => Just((Some("RSA_2048"), Some("ENCRYPT/DECRYPT"))),
        1 => select(&SPECS[..2]).prop_map(|spec| (Some(spec), SIGNS)),
    ]
}

fn pairs() -> impl Strategy<Value = Step> {
    let (signing, encryption) = (|| key_for(Work::Signing), || key_for(Work::AsymmetricEncryption));
    let any = prop_oneof![signing(), encryption()];
    let lengths = prop_oneof![8 => 1..=64usize, 2 => select(&[190, 191, 214, 215, 6047, 6048][..])];
    prop_oneof![
        3 => (any.clone(), token()).prop_map(|(key, token)| Step::CreateVersion(key, token)),
        4 => (signing(), part(), 0..3u8).prop_map(|(key, part, digest)| Step::Sign(key, part, digest)),
        5 => (which(), fate()).prop_map(|(signed, fate)| Step::Verify(signed, fate)),
        4 => (encryption(), part(), lengths)
            .prop_map(|(key, part, bytes)| Step::AsymmetricEncrypt(key, part, bytes)),
        5 => (which(), fate()).prop_map(|(shut, fate)| Step::AsymmetricDecrypt(shut, fate)),
        2 => (any, part()).prop_map(|(key, part)| Step::ShowPublicKey(key, part)),
        3 => re_encrypt_asymmetric(),
    ]
}

fn re_encrypt_asymmetric() -> impl Strategy<Value = Step> {
    let fields = prop_oneof![6 => Just(3), 1 => 0..3usize];
    (which(), fate(), key_for(Work::Symmetric), of(select(&CONTEXTS[..])), fields).prop_map(
        |(shut, fate, to, context, fields)| Step::ReEncryptAsymmetric { shut, fate, to, context, fields },
    )
}

fn part() -> impl Strategy<Value = Part> {
    (weighted(0.95, 0..4usize), 0..2usize, weighted(0.95, Just(())))
        .prop_map(|(version, algorithm, fits)| Part { version, algorithm, fits: fits.is_some() })
}

fn import() -> impl Strategy<Value = Step> {
    let brings = prop_oneof![
        12 => prop_oneof![5 => Just(1u8), 1 => Just(2)].prop_map(|byte| Brings::Material(byte, 0)),
        1 => Just(Brings::Material(1, 1)),
        1 => Just(Brings::OtherAlgorithm),
        1 => Just(Brings::Noise),
    ];
    let ends = weighted(0.3, select(&[0, 1, 3600, 7 * DAY as i64][..]));
    (which(), 0..3usize, weighted(0.1, key()), brings, ends)
        .prop_map(|(of, number, key, brings, ends)| Step::Import { of, number, key, brings, ends })
}

fn create_credential() -> impl Strategy<Value = Step> {
    (which(), token()).prop_map(|(of, token)| Step::CreateCredential { of, token })
}

fn list_keys() -> impl Strategy<Value = Step> {
    let state = weighted(0.3, select(&["Enabled", "Disabled", "PendingImport", "PendingDeletion"][..]));
    let part = weighted(0.3, select(&["alias/", "b", "/2", "nowhere"][..]));
    (page(), state, weighted(0.3, select(&SPECS[..])), part, tag_filter()).prop_map(
        |((number, size), state, spec, part, tags)| Step::ListKeys { number, size, state, spec, part, tags },
    )
}

fn list_tag_resources() -> impl Strategy<Value = Step> {
    (weighted(0.4, keys()), page(), tag_filter())
        .prop_map(|(keys, (number, size), tags)| Step::ListTagResources { keys, number, size, tags })
}

fn page() -> impl Strategy<Value = (u64, u64)> {
    (prop_oneof![4 => Just(1), 1 => 2..=3u64], 1..=4u64)
}

fn generate_data_key() -> impl Strategy<Value = Step> {
    let spec = of(select(&["AES_256", "AES_128", "SM4_128"][..]));
    (key_for(Work::Symmetric), spec, weighted(0.3, 1..=1024u64), of(select(&CONTEXTS[..])), any::<bool>())
        .prop_map(|(key, spec, bytes, context, shown)| Step::GenerateDataKey {
            key,
            spec,
            bytes,
            context,
            shown,
        })
}

fn which() -> impl Strategy<Value = Which> + Clone {
    prop_oneof![9 => place().prop_map(Which::Own), 1 => place().prop_map(Which::Foreign)]
}

/// The first of all more often than the others, so that much happens to it.
fn place() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![1 => Just(0), 2 => 0..24usize]
}

fn key() -> impl Strategy<Value = KeyName> + Clone {
    prop_oneof![
        14 => which().prop_map(KeyName::Id),
        5 => alias().prop_map(KeyName::Alias),
        1 => Just(KeyName::Nobodys),
    ]
}

/// Mostly one that is made for the work.
fn key_for(work: Work) -> impl Strategy<Value = KeyName> + Clone {
    prop_oneof![3 => place().prop_map(move |place| KeyName::For(work, place)), 1 => key()]
}

/// One or several of the caller's, between which there may be others; rarely none.
fn keys() -> impl Strategy<Value = Vec<KeyName>> {
    let key = prop_oneof![6 => place().prop_map(|place| KeyName::Id(Which::Own(place))), 1 => key()];
    prop_oneof![20 => vec(key.clone(), 1), 40 => vec(key, 2..=3), 1 => Just(Vec::new())]
}

/// A few of few, or as many as a key may carry; rarely none, or one twice.
fn tags() -> impl Strategy<Value = Tags> {
    let few = (subsequence(&NAMES[..], 1..=NAMES.len()), vec(select(&VALUES[..]), NAMES.len()));
    let many = |from: usize| (from..from + 20).map(|at| (&LETTERS[at..=at], "")).collect();
    prop_oneof![
        20 => few.prop_map(|(names, values)| names.into_iter().zip(values).collect()),
        6 => select(&[0, 6][..]).prop_map(many),
        1 => Just(Vec::new()),
        1 => Just(vec![("a", ""), ("a", "blue")]),
    ]
}

fn names() -> impl Strategy<Value = Vec<&'static str>> {
    let many = |from: usize| (from..from + 12).map(|at| &LETTERS[at..=at]).collect();
    prop_oneof![
        16 => subsequence(&NAMES[..], 1..=2),
        3 => select(&[0, 8, 12][..]).prop_map(many),
        1 => Just(Vec::new()),
    ]
}

fn tag_filter() -> impl Strategy<Value = TagFilter> {
    let (key, value) = (|| select(&NAMES[..]), || select(&VALUES[..]));
    let one = prop_oneof![
        4 => Just((None, None)),
        1 => key().prop_map(|key| (Some(key), None)),
        1 => value().prop_map(|value| (None, Some(value))),
        4 => (key(), value()).prop_map(|(key, value)| (Some(key), Some(value))),
    ];
    (one, weighted(0.15, tags())).prop_map(|((key, value), all)| TagFilter { key, value, all })
}

fn alias() -> impl Strategy<Value = AliasName> + Clone {
    prop_oneof![
        4 => (0..ALIASES.len()).prop_map(AliasName::Existing),
        1 => select(&ALIASES[..]).prop_map(AliasName::Text),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..=64usize, 1 => Just(6144), 1 => Just(6145)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        10 => Just(Fate::Whole),
        1 => Just(Fate::CutOff),
        1 => Just(Fate::Altered),
        1 => Just(Fate::Headless),
        1 => Just(Fate::OtherHead),
        1 => Just(Fate::OtherContext),
    ]
}

fn token() -> impl Strategy<Value = Option<&'static str>> + Clone {
    weighted(0.4, select(&TOKENS[..]))
}
