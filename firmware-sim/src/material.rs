//! Secret bytes: keys that stay ([`Material`]) and answers that a caller asked for ([`Released`]). Both live on
//! the heap, so that moving them copies a pointer, and wipe themselves when dropped. Neither prints, clones,
//! compares or serialises; `Material` cannot even be named outside the crate (design section 7).

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::entropy::Entropy;
use crate::fault::Fault;

/// A clear key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Material(Box<[u8]>);

impl Material {
    /// Draws a new key.
    pub(crate) fn random(entropy: &dyn Entropy, bytes: usize) -> Result<Self, Fault> {
        let mut material = Self(vec![0; bytes].into_boxed_slice());
        entropy.fill(&mut material.0)?;
        Ok(material)
    }

    /// Copies a key out of a buffer that its owner wipes.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self(Box::from(bytes))
    }

    /// The clear bytes, for cipher code of this crate only.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The clear bytes, to be decrypted in place.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// A secret that the caller asked for: a plaintext, a data key, random bytes or a new credential's secret.
pub struct Released(Zeroizing<Vec<u8>>);

impl Released {
    /// Takes the buffer over; it must never have been reallocated while it held the secret.
    pub(crate) fn new(secret: Zeroizing<Vec<u8>>) -> Self {
        Self(secret)
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wipes_on_drop<T: ZeroizeOnDrop>() {}

    #[test]
    fn secret_holders_wipe_on_drop() {
        wipes_on_drop::<Material>();
        wipes_on_drop::<Zeroizing<Vec<u8>>>();
    }

    #[test]
    fn wiping_clears_the_bytes() {
        let mut material = Material::copy_of(&[7; 32]);
        material.zeroize();
        assert_eq!(material.expose(), [0; 32]);
    }
}
