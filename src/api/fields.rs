//! The fields of a request: a flat list of names and raw JSON tokens, parsed once. Signatures, codes for missing fields
//! and decoding all read this one form, so that nothing can be signed as one value and executed as another.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::value::RawValue;

use super::call::Page;
use super::nested::check_nested;
use crate::error::{Error, Result};
use crate::model::signature::parse_query;

/// Fields of one request at most.
pub const FIELDS_MAX: usize = 64;

/// The fields of a request, in the order in which they came.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, Token)>);

/// One value as it was written.
#[derive(Debug)]
enum Token {
    Null,
    /// A string, unescaped.
    Text(String),
    /// A number or a boolean, exactly as written.
    Plain(String),
    /// A list or an object, exactly as written.
    Nested(String),
}

impl Fields {
    /// Reads a JSON body; nothing at all is an empty object. Refuses duplicate keys at every depth.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let text =
            std::str::from_utf8(body).map_err(|_| Error::InvalidBody("the body is not valid UTF-8"))?;
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = json.deserialize_map(ObjectVisitor).map_err(body_error)?;
        json.end().map_err(body_error)?;
        Ok(Self(fields))
    }

    /// Reads a query string; every value is a text.
    pub fn from_query(query: &str) -> Result<Self> {
        let mut fields = Self::default();
        for (name, value) in parse_query(query) {
            fields.push(name, Token::Text(value)).map_err(Error::InvalidBody)?;
        }
        Ok(fields)
    }

    fn push(&mut self, name: String, token: Token) -> Result<(), &'static str> {
        if self.0.len() == FIELDS_MAX {
            return Err("the request has more than 64 fields");
        }
        if self.0.iter().any(|(earlier, _)| *earlier == name) {
            return Err("the request names a field twice");
        }
        self.0.push((name, token));
        Ok(())
    }

    /// Adds a text that came beside the fields, unless the field is there.
    pub fn default_text(&mut self, name: &str, text: &str) {
        if !self.0.iter().any(|(field, _)| field == name) {
            self.0.push((name.to_owned(), Token::Text(text.to_owned())));
        }
    }

    /// The values that an access-point signature covers, sorted by name, with the access key in its place. Lists and
    /// objects have no signed form, and a field called `accessKey` would be ambiguous (contract 2.2).
    pub fn signed_values<'a>(&'a self, access_key: &'a str) -> Result<Vec<&'a str>> {
        let mut pairs = vec![("accessKey", access_key)];
        for (name, token) in &self.0 {
            let value = match token {
                Token::Null => "",
                Token::Text(text) | Token::Plain(text) => text,
                Token::Nested(_) => {
                    return Err(Error::invalid(
                        name.clone(),
                        "must be a JSON string here: lists and objects cannot be signed",
                    ));
                }
            };
            if name == "accessKey" {
                return Err(Error::invalid("accessKey", "belongs into the header, not into the body"));
            }
            pairs.push((name, value));
        }
        pairs.sort_unstable();
        Ok(pairs.into_iter().map(|(_, value)| value).collect())
    }

    /// A text that is the same for two requests with the same fields in any order.
    pub fn fingerprint_text(&self) -> String {
        let mut lines: Vec<String> =
            self.0.iter().map(|(name, token)| format!("{name:?}={token:?}")).collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Reads the fields into a struct. Unknown fields are ignored, `null` is absent.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(FieldsDeserializer(&self.0)).map_err(|error| match error.field {
            Some(_) => error.into(),
            None => self.paging_error().unwrap_or(error).into(),
        })
    }

    /// What is wrong with the fields of paging, one by one: serde does not tell the names of flattened fields, and only
    /// paging is flattened.
    fn paging_error(&self) -> Option<DecodeError> {
        self.0.chunks(1).find_map(|one| Page::deserialize(FieldsDeserializer(one)).err())
    }
}

fn body_error(error: serde_json::Error) -> Error {
    let text = error.to_string();
    for known in ["the request names a field twice", "the request has more than 64 fields"] {
        if text.starts_with(known) {
            return Error::InvalidBody(known);
        }
    }
    Error::InvalidBody("the body is not a JSON object")
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(String, Token)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            let raw = map.next_value::<&RawValue>()?.get();
            let token = match raw.as_bytes().first() {
                Some(b'n') => Token::Null,
                Some(b'"') => Token::Text(serde_json::from_str(raw).map_err(de::Error::custom)?),
                Some(b'{' | b'[') => {
                    check_nested(raw).map_err(de::Error::custom)?;
                    Token::Nested(raw.to_owned())
                }
                _ => Token::Plain(raw.to_owned()),
            };
            fields.push(name, token).map_err(de::Error::custom)?;
        }
        Ok(fields.0)
    }
}

/// Why fields do not fit a struct.
#[derive(Debug)]
pub struct DecodeError {
    /// `None`: a field of a flattened struct, whose name serde does not tell.
    field: Option<Cow<'static, str>>,
    /// `None`: the field is missing.
    reason: Option<String>,
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        let field = error.field.unwrap_or(Cow::Borrowed("paging field"));
        match error.reason {
            None => Error::MissingField(field),
            Some(reason) => Error::invalid(field, reason),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_deref().unwrap_or("is missing"))
    }
}

impl std::error::Error for DecodeError {}

impl DecodeError {
    fn because(reason: impl Into<String>) -> Self {
        Self { field: None, reason: Some(reason.into()) }
    }

    /// Names the field; a refused value that is empty counts as missing.
    fn at(self, field: &str, token: &Token) -> Self {
        let empty = matches!(token, Token::Text(text) if text.is_empty());
        Self { field: Some(Cow::Owned(field.to_owned())), reason: self.reason.filter(|_| !empty) }
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::because(text.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::because(format!("must be {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::because(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::because(format!("must be one of {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(Cow::Borrowed(field)), reason: None }
    }
}

struct FieldsDeserializer<'de>(&'de [(String, Token)]);

impl<'de> Deserializer<'de> for FieldsDeserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let present = self.0.iter().filter(|(_, token)| !matches!(token, Token::Null));
        visitor.visit_map(FieldsAccess { rest: present.collect::<Vec<_>>().into_iter(), value: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct FieldsAccess<'de> {
    rest: std::vec::IntoIter<&'de (String, Token)>,
    value: Option<&'de (String, Token)>,
}

impl<'de> MapAccess<'de> for FieldsAccess<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        self.value = self.rest.next();
        match self.value {
            Some((name, _)) => seed.deserialize(StrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let Some((name, token)) = self.value else { return Err(DecodeError::because("has no value")) };
        seed.deserialize(TokenDeserializer(token)).map_err(|error| error.at(name, token))
    }
}

/// Reads one value. Where a list or object is wanted, a string that holds its JSON does as well.
struct TokenDeserializer<'de>(&'de Token);

impl<'de> TokenDeserializer<'de> {
    fn nested<T>(
        self,
        read: impl FnOnce(
            &mut serde_json::Deserializer<serde_json::de::StrRead<'de>>,
        ) -> Result<T, serde_json::Error>,
    ) -> Result<T, DecodeError> {
        let text = match self.0 {
            Token::Text(text) => {
                check_nested(text).map_err(nested_error)?;
                text
            }
            Token::Nested(text) | Token::Plain(text) => text,
            Token::Null => "null",
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let value = read(&mut json).map_err(nested_error)?;
        json.end().map_err(nested_error)?;
        Ok(value)
    }
}

/// The reason without the library's position in the text.
fn nested_error(error: serde_json::Error) -> DecodeError {
    if !error.is_data() {
        return DecodeError::because("must be a list or object, or a JSON string of one");
    }
    let text = error.to_string();
    DecodeError::because(text.split(" at line ").next().unwrap_or(&text))
}

impl<'de> Deserializer<'de> for TokenDeserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Token::Null => visitor.visit_unit(),
            Token::Text(text) => visitor.visit_borrowed_str(text),
            Token::Plain(_) | Token::Nested(_) => self.nested(|json| json.deserialize_any(visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Token::Text(text) | Token::Plain(text) if text == "true" => visitor.visit_bool(true),
            Token::Text(text) | Token::Plain(text) if text == "false" => visitor.visit_bool(false),
            _ => Err(DecodeError::because("must be true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Token::Text(text) => visitor.visit_borrowed_str(text),
            Token::Null | Token::Plain(_) | Token::Nested(_) => Err(DecodeError::because("must be a string")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_string(visitor)
    }

    /// Names of enumerations are read in any case, with `_` for `/` (contract 1.1).
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (Token::Text(text) | Token::Plain(text)) = self.0 else {
            return Err(de::Error::unknown_variant("", variants));
        };
        let plain = |name: &str| name.to_ascii_uppercase().replace('/', "_");
        let known = variants.iter().find(|variant| plain(variant) == plain(text));
        visitor.visit_enum(known.copied().unwrap_or(text).into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.nested(|json| json.deserialize_seq(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.nested(|json| json.deserialize_map(visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct struct identifier
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::model::algorithm::{KeySpec, KeyUsage, ProtectionLevel};
    use crate::model::tag::Tags;
    use crate::model::text::Number;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        cmk_uuid: Option<crate::model::alias::KeyRef>,
        key_spec: Option<KeySpec>,
        key_usage: Option<KeyUsage>,
        protection_level: Option<ProtectionLevel>,
        page_size: Option<Number<1, 100>>,
        on: Option<bool>,
        tags: Option<Tags>,
        input: super::super::InputText,
    }

    fn read(body: &str) -> Result<Sample> {
        Fields::from_json(body.as_bytes())?.decode()
    }

    fn code(body: &str) -> &'static str {
        read(body).map_or_else(|error| error.wire().code, |_| "ok")
    }

    #[test]
    fn a_body_is_a_flat_object_without_duplicates() {
        for (body, expected) in [
            (r#"{"input":"a"}"#, "ok"),
            ("", "KMS.0101"),
            ("  \n ", "KMS.0101"),
            (r#"{"input":"a"}x"#, "KMS.9020"),
            (r#"{"input":"a","input":"a"}"#, "KMS.9020"),
            (r#"{"input":"a","\u0069nput":"b"}"#, "KMS.9020"),
            (r#"{"input":"a","x":{"y":1,"y":2}}"#, "KMS.9020"),
            (r#"["input"]"#, "KMS.9020"),
            (r#"{"input":"a""#, "KMS.9020"),
            (r#"{"input":7}"#, "KMS.9020"),
            (r#"{"input":""}"#, "KMS.0101"),
            (r#"{"input":null}"#, "KMS.0101"),
            (r#"{"input":"a","unknown":[1,{"deep":true}]}"#, "ok"),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
        let deep = format!(r#"{{"input":"a","x":{}1{}}}"#, "[".repeat(17), "]".repeat(17));
        assert_eq!(code(&deep), "KMS.9020");
        let many: Vec<String> = (0..65).map(|n| format!("\"f{n}\":1")).collect();
        assert_eq!(code(&format!("{{{}}}", many.join(","))), "KMS.9020");
        assert_eq!(Fields::from_json(b"{\"input\":\"\xff\"}").unwrap_err().wire().code, "KMS.9020");
    }

    #[test]
    fn empty_values_have_the_published_codes() {
        for (field, expected) in [
            ("cmkUuid", "KMS.0102"),
            ("keySpec", "KMS.0126"),
            ("keyUsage", "KMS.0117"),
            ("protectionLevel", "KMS.0113"),
        ] {
            assert_eq!(code(&format!(r#"{{"input":"a","{field}":""}}"#)), expected, "{field}");
            assert_eq!(code(&format!(r#"{{"input":"a","{field}":"nonsense"}}"#)), "KMS.9020", "{field}");
        }
    }

    #[test]
    fn scalars_and_lists_also_come_as_strings() {
        let sample = read(
            r#"{"input":"a","pageSize":"7","on":"true","keyUsage":"encrypt_decrypt","protectionLevel":0,
                "keySpec":"SM4","tags":"[{\"tagKey\":\"a\",\"tagValue\":\"b\"}]"}"#,
        )
        .unwrap();
        assert_eq!(sample.page_size.unwrap().get(), 7);
        assert_eq!(sample.on, Some(true));
        assert_eq!(sample.key_usage, Some(KeyUsage::EncryptDecrypt));
        assert_eq!(sample.protection_level, Some(ProtectionLevel::Hsm));
        assert_eq!(sample.key_spec, Some(KeySpec::Sm4));
        assert!(sample.tags.is_some() && sample.cmk_uuid.is_none() && !sample.input.as_str().is_empty());
        assert_eq!(code(r#"{"input":"a","tags":[{"tagKey":"a","tagValue":"b"}]}"#), "ok");
        for wrong in [
            r#"{"input":"a","tags":"[{\"tagKey\":\"a\",\"tagKey\":\"b\",\"tagValue\":\"b\"}]"}"#,
            r#"{"input":"a","tags":[{"tagKey":"a","tagValue":"b"},{"tagKey":"a","tagValue":"c"}]}"#,
            r#"{"input":"a","tags":"nonsense"}"#,
            r#"{"input":"a","on":1}"#,
            r#"{"input":"a","pageSize":1.5}"#,
        ] {
            assert_eq!(code(wrong), "KMS.9020", "{wrong}");
        }
    }

    /// Field values of the vector in contract 2.2, and the forms of other scalars.
    #[test]
    fn signed_values_are_sorted_by_name_and_raw() {
        let fields = Fields::from_json(br#"{"z":1.50,"b":true,"a":null,"plaintext":"\u0041"}"#).unwrap();
        assert_eq!(fields.signed_values("ak").unwrap(), ["", "ak", "true", "A", "1.50"]);
        let fields = Fields::from_json(br#"{"x":[1]}"#).unwrap();
        assert!(fields.signed_values("ak").is_err());
        let fields = Fields::from_json(br#"{"accessKey":"other"}"#).unwrap();
        assert!(fields.signed_values("ak").is_err());
    }
}
