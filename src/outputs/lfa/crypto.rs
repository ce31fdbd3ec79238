//! SHA-256 and HMAC for signing requests: without them the S3 client would bring a second library of cryptography with it.

use object_store::client::{
    CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm,
};
use sha2::{Digest as _, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// What the S3 client needs for version 4 signatures.
#[derive(Debug)]
pub(super) struct Crypto;

impl CryptoProvider for Crypto {
    fn digest(&self, algorithm: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Sum { hash: Sha256::new(), sum: [0; 32] })),
            other => Err(unknown(&other)),
        }
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> object_store::Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Keyed::new(secret))),
            other => Err(unknown(&other)),
        }
    }

    fn sign(&self, algorithm: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        Err(unknown(&algorithm))
    }
}

fn unknown(algorithm: &dyn std::fmt::Debug) -> object_store::Error {
    object_store::Error::NotSupported { source: format!("{algorithm:?} is not needed for S3").into() }
}

struct Sum {
    hash: Sha256,
    sum: [u8; 32],
}

impl DigestContext for Sum {
    fn update(&mut self, data: &[u8]) {
        self.hash.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.sum = self.hash.clone().finalize().into();
        Ok(&self.sum)
    }
}

/// HMAC of RFC 2104.
struct Keyed {
    inner: Sha256,
    outer: Sha256,
    sum: [u8; 32],
}

impl Keyed {
    fn new(secret: &[u8]) -> Keyed {
        let mut key = [0_u8; BLOCK];
        if secret.len() > BLOCK {
            key[..32].copy_from_slice(&Sha256::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        let padded = |pad: u8| {
            let mut hash = Sha256::new();
            hash.update(key.map(|byte| byte ^ pad));
            hash
        };
        Keyed { inner: padded(0x36), outer: padded(0x5c), sum: [0; 32] }
    }
}

impl HmacContext for Keyed {
    fn update(&mut self, data: &[u8]) {
        self.inner.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        let mut outer = self.outer.clone();
        outer.update(self.inner.clone().finalize());
        self.sum = outer.finalize().into();
        Ok(&self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sums_are_those_of_the_standards() {
        let mut sum = Crypto.digest(DigestAlgorithm::Sha256).unwrap();
        sum.update(b"a");
        sum.update(b"bc");
        // FIPS 180-4.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(sum.finish().unwrap()), abc);
    }

    #[test]
    fn keyed_sums_are_those_of_rfc_4231() {
        let hmac = |key: &[u8], data: &[u8]| {
            let mut keyed = Crypto.hmac(DigestAlgorithm::Sha256, key).unwrap();
            keyed.update(data);
            hex(keyed.finish().unwrap())
        };
        assert_eq!(
            hmac(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hmac(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
