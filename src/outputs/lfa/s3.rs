//! The S3 server: an object is made once and never replaced.
//!
//! A small file is one request that the server refuses if there is such an object (`If-None-Match: *`). A large one goes in parts,
//! after a look that there is none: S3's last request of such an upload cannot be made so that it refuses, but nobody else writes
//! below our name, and we send one file after the other. Parts that a crash leaves behind are for the bucket's life-cycle rule.
//!
//! An object that is there already with our content is ours, from a request whose answer was lost: it counts as stored.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use md5::{Digest as _, Md5};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
};

use super::credentials::Credentials;
use super::crypto::Crypto;
use super::digest::hex;
use super::error::S3Error;
use super::key;

/// A longer file goes in parts of this size, which are in memory one at a time. (S3 wants at least 5 MiB.)
const PART: usize = 8 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Where and how.
#[derive(Debug, Clone)]
pub(super) struct S3Options {
    pub(super) endpoint: String,
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) timeout: Duration,
    /// Bytes of files that may wait.
    pub(super) spool_bytes: u64,
}

/// A bucket on an S3 server.
pub struct S3 {
    options: S3Options,
    store: AmazonS3,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What is to be stored.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Its key.
    pub(super) key: String,
    /// The file.
    pub(super) file: PathBuf,
    /// What the file has to be.
    pub(super) bytes: u64,
    /// MD5 in hexadecimal digits.
    pub(super) md5: String,
    /// MIME type.
    pub(super) mime: String,
}

impl S3 {
    pub(super) fn new(options: S3Options, credentials: Credentials) -> Result<S3, String> {
        let client = ClientOptions::new()
            .with_timeout(options.timeout)
            .with_connect_timeout(CONNECT)
            .with_allow_http(true);
        // Repeats are ours: what waits is on disk.
        let retry = RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(&options.endpoint)
            .with_bucket_name(&options.bucket)
            .with_region(&options.region)
            .with_virtual_hosted_style_request(false)
            .with_access_key_id(credentials.key_id)
            .with_secret_access_key(credentials.secret.expose())
            .with_client_options(client)
            .with_retry(retry)
            .with_crypto_provider(Arc::new(Crypto));
        if let Some(token) = credentials.token {
            builder = builder.with_token(token.expose());
        }
        let store = builder.build().map_err(|e| e.to_string())?;
        Ok(S3 { options, store })
    }

    /// The address of an object.
    pub fn url(&self, key: &str) -> String {
        key::url(&self.options.endpoint, &self.options.bucket, key)
    }

    /// Server and bucket, for messages.
    pub fn describe(&self) -> String {
        format!("{}/{}", self.options.endpoint, self.options.bucket)
    }

    /// Bytes of files that may wait for it.
    pub(super) fn spool_bytes(&self) -> u64 {
        self.options.spool_bytes
    }

    /// Makes the object. When this returns it is there, whole.
    pub(super) async fn put(&self, object: &Object) -> Result<(), S3Error> {
        let key = Key::parse(&object.key).map_err(|e| S3Error::Refused(format!("its key: {e}")))?;
        if object.bytes <= PART as u64 {
            self.put_whole(&key, object).await
        } else {
            self.put_parts(&key, object).await
        }
    }

    async fn put_whole(&self, key: &Key, object: &Object) -> Result<(), S3Error> {
        let file = object.file.clone();
        let content = blocking(move || std::fs::read(file)).await?;
        if content.len() as u64 != object.bytes || hex(&Md5::digest(&content)) != object.md5 {
            return Err(S3Error::changed());
        }
        let attributes = attributes(object);
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        match self.store.put_opts(key, PutPayload::from(content), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => self.look(key, object).await,
            Err(error) => Err(S3Error::of(&error)),
        }
    }

    async fn put_parts(&self, key: &Key, object: &Object) -> Result<(), S3Error> {
        match self.store.head(key).await {
            Ok(_) => return self.look(key, object).await,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(S3Error::of(&error)),
        }
        let attributes = attributes(object);
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let mut upload = self.store.put_multipart_opts(key, options).await.map_err(|e| S3Error::of(&e))?;
        let sent = async {
            let (mut md5, mut at) = (Md5::new(), 0);
            while at < object.bytes {
                let part = read_part(&object.file, at).await?;
                if part.is_empty() {
                    break;
                }
                at += part.len() as u64;
                md5.update(&part);
                upload.put_part(PutPayload::from(part)).await.map_err(|e| S3Error::of(&e))?;
            }
            if at != object.bytes || hex(&md5.finalize()) != object.md5 {
                return Err(S3Error::changed());
            }
            upload.complete().await.map_err(|e| S3Error::of(&e))
        };
        let sent = sent.await;
        if let Err(error) = sent {
            // If the parts cannot be taken away either, the bucket's life-cycle rule does it.
            drop(upload.abort().await);
            return Err(error);
        }
        Ok(())
    }

    /// There is an object of that key: is it ours?
    async fn look(&self, key: &Key, object: &Object) -> Result<(), S3Error> {
        let found = match self.store.head(key).await {
            Ok(found) => found,
            // A server that is at odds with itself, or somebody has taken it away: tried again.
            Err(object_store::Error::NotFound { .. }) => {
                return Err(S3Error::Away(
                    "the server says that the object is there, and that it is not".to_owned(),
                ));
            }
            Err(error) => return Err(S3Error::of(&error)),
        };
        let other = |what: String| {
            Err(S3Error::Refused(format!(
                "there is another object of that key, which stays as it is: {what}"
            )))
        };
        if found.size != object.bytes {
            return other(format!("{} bytes, not {}", found.size, object.bytes));
        }
        // The tag is the sum of the content, unless it came in parts or is encrypted.
        if found.e_tag.is_some_and(|tag| tag.trim_matches('"') == object.md5) {
            return Ok(());
        }
        let mut content = self.store.get(key).await.map_err(|e| S3Error::of(&e))?.into_stream();
        let mut md5 = Md5::new();
        while let Some(chunk) = content.next().await {
            md5.update(chunk.map_err(|e| S3Error::of(&e))?);
        }
        let sum = hex(&md5.finalize());
        if sum == object.md5 { Ok(()) } else { other(format!("its MD5 is {sum}, not {}", object.md5)) }
    }
}

fn attributes(object: &Object) -> Attributes {
    Attributes::from_iter([(Attribute::ContentType, object.mime.clone())])
}

async fn read_part(file: &Path, at: u64) -> Result<Vec<u8>, S3Error> {
    let file = file.to_owned();
    blocking(move || {
        let mut file = std::fs::File::open(file)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(at))?;
        let mut part = Vec::with_capacity(PART);
        file.take(PART as u64).read_to_end(&mut part)?;
        Ok(part)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, S3Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| S3Error::local(&e)),
        Err(panic) => Err(S3Error::Refused(format!("it could not be read: {panic}"))),
    }
}

#[cfg(test)]
impl S3 {
    /// An address that anybody may use for some minutes.
    pub(super) async fn signed(&self, method: reqwest::Method, key: &str) -> reqwest::Url {
        use object_store::signer::Signer as _;
        let key = Key::parse(key).unwrap();
        self.store.signed_url(method, &key, Duration::from_secs(600)).await.unwrap()
    }
}
