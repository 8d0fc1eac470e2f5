//! Associations: what cloud products work for with a key, as their calls said it (contract 5.1, detectAssociation).

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::model::product::ServiceCode;
use crate::model::text::Text;

/// Version of the stored form.
const VERSION: u8 = 1;

/// An id or a name of a product's resource; empty if the product did not say it.
pub type ResourceText = Text<0, 128>;

/// A resource of a cloud product, such as a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// What the product calls it by.
    pub id: ResourceText,
    /// What people call it.
    pub name: ResourceText,
}

/// A cloud product's work with the key versions that its call uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductUse {
    /// The product.
    pub product: ServiceCode,
    /// What it works for.
    pub resource: Resource,
}

/// A resource that a cloud product used a key for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// The product.
    pub product: ServiceCode,
    /// Its resource.
    pub resource: Resource,
    /// The first call for it.
    pub first: Timestamp,
    /// The latest call for it.
    pub last: Timestamp,
}

impl Association {
    /// One call of a product.
    pub fn new(product: ServiceCode, resource: Resource, at: Timestamp) -> Self {
        Self { product, resource, first: at, last: at }
    }

    /// Adds a call for the same resource. The latest name counts; a call without one leaves it as it is.
    pub fn add(&mut self, name: &ResourceText, at: Timestamp) {
        if at >= self.last && !name.as_str().is_empty() {
            self.resource.name = name.clone();
        }
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }

    /// The stored form: version, then body.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![VERSION])
    }

    /// Reads the stored form; `None` if its version is unknown or it is damaged.
    pub fn decode(stored: &[u8]) -> Option<Self> {
        let (version, body) = stored.split_first()?;
        if *version == VERSION { postcard::from_bytes(body).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ResourceText {
        Text::new(text).unwrap()
    }

    #[test]
    fn the_latest_name_counts_and_no_moment_goes_back() {
        let resource = Resource { id: text("disk-1"), name: text("first") };
        let mut association = Association::new(ServiceCode::Ecs, resource, Timestamp(5));
        association.add(&text("second"), Timestamp(9));
        association.add(&text(""), Timestamp(10));
        association.add(&text("late"), Timestamp(2));
        assert_eq!(association.resource.name, text("second"));
        assert_eq!((association.first, association.last), (Timestamp(2), Timestamp(10)));
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let resource = Resource { id: text("disk-1"), name: text("数据盘") };
        let association = Association::new(ServiceCode::Dds, resource, Timestamp(5));
        let stored = association.encode().unwrap();
        assert_eq!(Association::decode(&stored), Some(association));
        assert_eq!(Association::decode(&stored[..stored.len() - 1]), None);
        assert_eq!(Association::decode(&[&[2], &stored[1..]].concat()), None, "another version");
    }
}
