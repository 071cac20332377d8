//! Signatures of messages: HMAC-SHA-256 over the names of the fleet and the topic, and the message.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use bytes::Bytes;

use super::stats::Dropping;
use crate::config::FleetKey;

/// Signs messages of a fleet, if there is a key.
pub(super) struct Seal {
    fleet: Box<str>,
    key: Option<hmac::Key>,
}

impl Seal {
    pub(super) fn new(fleet: &str, key: Option<&FleetKey>) -> Self {
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        Self {
            fleet: fleet.into(),
            key,
        }
    }

    /// The message as it is published: after its signature, if there is a key.
    pub(super) fn seal(&self, topic: &str, message: Vec<u8>) -> Bytes {
        let Some(key) = &self.key else {
            return message.into();
        };
        let mut sealed = self.signature(key, topic, &message).as_ref().to_vec();
        sealed.extend(message);
        sealed.into()
    }

    /// The message of what was published, of `most` bytes at most.
    ///
    /// # Errors
    /// If it is longer, or its signature is not good.
    pub(super) fn open(&self, topic: &str, sealed: &Bytes, most: usize) -> Result<Bytes, Dropping> {
        let signature = if self.key.is_some() { SIGNATURE } else { 0 };
        if sealed.len() > signature + most {
            return Err(Dropping::TooLarge);
        }
        let Some(key) = &self.key else {
            return Ok(sealed.clone());
        };
        if sealed.len() < signature {
            return Err(Dropping::Unsigned);
        }
        let message = sealed.slice(signature..);
        let wanted = self.signature(key, topic, &message);
        match verify_slices_are_equal(wanted.as_ref(), &sealed[..signature]) {
            Ok(()) => Ok(message),
            Err(_) => Err(Dropping::Unsigned),
        }
    }

    /// Of the names and the message. Lengths keep the names apart.
    fn signature(&self, key: &hmac::Key, topic: &str, message: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        for name in [&*self.fleet, topic] {
            context.update(&(name.len() as u32).to_be_bytes());
            context.update(name.as_bytes());
        }
        context.update(message);
        context.sign()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({})", self.fleet)
    }
}

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(fleet: &str, key: Option<&[u8]>) -> Seal {
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
        let fleet = fleet.into();
        Seal { fleet, key }
    }

    #[test]
    fn only_what_the_key_signed_for_this_fleet_and_topic_is_opened() {
        let ours = seal("pay", Some(&[7; 32]));
        let sealed = ours.seal("reports", b"hello".to_vec());
        assert_eq!(ours.open("reports", &sealed, 5).unwrap(), "hello");
        assert_eq!(ours.open("reports", &sealed, 4), Err(Dropping::TooLarge));
        let refused = [
            ours.open("verdicts", &sealed, 5),
            seal("cart", Some(&[7; 32])).open("reports", &sealed, 5),
            seal("pay", Some(&[8; 32])).open("reports", &sealed, 5),
            ours.open("reports", &sealed.slice(..36), 5),
            ours.open("reports", &Bytes::from_static(b"hello"), 5),
        ];
        assert!(
            refused.iter().all(|it| *it == Err(Dropping::Unsigned)),
            "{refused:?}"
        );
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // python3: hmac.new(b"k" * 32, b"\0\0\0\3pay\0\0\0\1thi", "sha256").hexdigest()
        let sealed = seal("pay", Some(&[b'k'; 32])).seal("t", b"hi".to_vec());
        let hex: String = sealed[..32]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "1dd7b68573f3f0e8937e50a6ec43e0c704d1a4d35397212d0dd1f181a566ccb3"
        );
    }

    #[test]
    fn without_a_key_messages_are_as_they_are() {
        let open = seal("pay", None);
        let sealed = open.seal("reports", b"hello".to_vec());
        assert_eq!(sealed, "hello");
        assert_eq!(open.open("reports", &sealed, 5).unwrap(), "hello");
    }
}
