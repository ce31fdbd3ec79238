//! A simulated S3 server: one bucket in memory, as a server that knows `If-None-Match` answers.
//!
//! It looks whether a request is signed by our key and whether the body is what was signed; it does not compute the signature:
//! that a real server does (`scripts/stack start s3`).

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::peer::{Asked, Peer, Plays, Reply};

/// The server with its handle.
pub type SimS3 = Peer<S3Play>;

/// The key, and what signs with it: no secret, it opens nothing but this simulator.
pub const KEY_ID: &str = "simulated";
/// See [`KEY_ID`].
pub const SECRET: &str = "not-a-secret";
/// The bucket.
pub const BUCKET: &str = "rubinobs-lfa-test";
/// What a server says that has too much to do, with status 503.
pub const SLOW_DOWN: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code>\
                             <Message>Please reduce your request rate.</Message></Error>";

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimObject {
    /// Content.
    pub bytes: Vec<u8>,
    /// MIME type.
    pub mime: String,
    /// Tag: the MD5, with the number of parts if it came in parts.
    pub tag: String,
}

/// An upload in parts.
#[derive(Debug, Clone, Default)]
struct Upload {
    key: String,
    mime: String,
    parts: BTreeMap<u32, Vec<u8>>,
}

/// The server.
#[derive(Debug, Clone, Default)]
pub struct S3Play {
    /// Objects by key.
    pub objects: BTreeMap<String, SimObject>,
    /// How often each key was written, replaced ones too.
    pub written: BTreeMap<String, usize>,
    /// The credentials are not good any more.
    pub denied: bool,
    /// Uploads in parts that were broken off.
    pub aborted: usize,
    uploads: BTreeMap<String, Upload>,
}

impl S3Play {
    /// The environment that leads to it: the address is [`Peer::url`].
    pub fn env(name: &str) -> Option<String> {
        match name {
            "AWS_ACCESS_KEY_ID" => Some(KEY_ID.to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some(SECRET.to_owned()),
            _ => None,
        }
    }

    /// Uploads in parts that are under way.
    pub fn unfinished(&self) -> usize {
        self.uploads.len()
    }

    /// Keys that were written more than once.
    pub fn replaced(&self) -> Vec<&String> {
        self.written.iter().filter(|(_, n)| **n > 1).map(|(key, _)| key).collect()
    }

    fn refused(&self, asked: &Asked) -> Option<Reply> {
        let given = asked.header("authorization").unwrap_or_default();
        if given.is_empty() {
            return Some(error(403, "AccessDenied", "Anonymous access is not allowed"));
        }
        if !given.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/")) {
            return Some(error(403, "InvalidAccessKeyId", "The access key does not exist in our records."));
        }
        if self.denied {
            return Some(error(403, "AccessDenied", "Access Denied"));
        }
        match asked.header("x-amz-content-sha256") {
            Some("UNSIGNED-PAYLOAD") => None,
            Some(sum) if sum == hex(&Sha256::digest(&asked.body)) => None,
            _ => Some(error(400, "XAmzContentSHA256Mismatch", "The body is not what was signed.")),
        }
    }

    fn put(&mut self, asked: &Asked, key: &str) -> Reply {
        if asked.header("if-none-match") == Some("*") && self.objects.contains_key(key) {
            return error(412, "PreconditionFailed", "At least one of the pre-conditions did not hold");
        }
        let mime = asked.header("content-type").unwrap_or("binary/octet-stream").to_owned();
        let tag = hex(&Md5::digest(&asked.body));
        self.store(key, SimObject { bytes: asked.body.to_vec(), mime, tag: tag.clone() });
        tagged(&tag)
    }

    fn store(&mut self, key: &str, object: SimObject) {
        *self.written.entry(key.to_owned()).or_default() += 1;
        self.objects.insert(key.to_owned(), object);
    }

    fn begin(&mut self, asked: &Asked, key: &str) -> Reply {
        let id = format!("upload-{}", self.uploads.len() + self.aborted + self.written.len() + 1);
        let mime = asked.header("content-type").unwrap_or("binary/octet-stream").to_owned();
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), mime, ..Upload::default() });
        xml(&format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn part(&mut self, asked: &Asked, id: &str, number: &str) -> Reply {
        let Some(upload) = self.uploads.get_mut(id) else { return no_upload() };
        let Ok(number) = number.parse() else { return error(400, "InvalidArgument", "partNumber") };
        upload.parts.insert(number, asked.body.to_vec());
        tagged(&hex(&Md5::digest(&asked.body)))
    }

    fn complete(&mut self, id: &str) -> Reply {
        let Some(upload) = self.uploads.remove(id) else { return no_upload() };
        let mut tags = Md5::new();
        upload.parts.values().for_each(|part| tags.update(Md5::digest(part)));
        let tag = format!("{}-{}", hex(&tags.finalize()), upload.parts.len());
        let bytes = upload.parts.into_values().flatten().collect();
        let key = upload.key.clone();
        self.store(&key, SimObject { bytes, mime: upload.mime, tag: tag.clone() });
        xml(&format!("<CompleteMultipartUploadResult><ETag>\"{tag}\"</ETag></CompleteMultipartUploadResult>"))
    }

    fn abort(&mut self, id: &str) -> Reply {
        if self.uploads.remove(id).is_none() {
            return no_upload();
        }
        self.aborted += 1;
        Reply::Whole(204, "application/xml", Vec::new(), Vec::new())
    }

    fn get(&self, key: &str) -> Reply {
        let Some(object) = self.objects.get(key) else {
            return error(404, "NoSuchKey", "The specified key does not exist.");
        };
        let headers = vec![
            ("etag", format!("\"{}\"", object.tag)),
            ("last-modified", "Fri, 20 Nov 2026 23:53:23 GMT".to_owned()),
            ("content-type", object.mime.clone()),
        ];
        Reply::Whole(200, "application/octet-stream", headers, object.bytes.clone())
    }
}

impl Plays for S3Play {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(refused) = self.refused(asked) {
            return refused;
        }
        let Some(key) = asked.path.strip_prefix(&format!("/{BUCKET}/")).map(str::to_owned) else {
            return error(404, "NoSuchBucket", "The specified bucket does not exist");
        };
        let said = |name: &str| asked.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        match (asked.method.as_str(), said("uploadId"), said("partNumber")) {
            ("PUT", Some(id), Some(number)) => self.part(asked, id, number),
            ("PUT", None, None) => self.put(asked, &key),
            ("POST", None, _) if said("uploads").is_some() => self.begin(asked, &key),
            ("POST", Some(id), _) => self.complete(id),
            ("DELETE", Some(id), _) => self.abort(id),
            ("GET" | "HEAD", None, _) => self.get(&key),
            _ => error(501, "NotImplemented", "This simulator does not do that."),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tagged(tag: &str) -> Reply {
    Reply::Whole(200, "application/xml", vec![("etag", format!("\"{tag}\""))], Vec::new())
}

fn xml(text: &str) -> Reply {
    Reply::Whole(200, "application/xml", Vec::new(), format!("<?xml version=\"1.0\"?>{text}").into_bytes())
}

fn no_upload() -> Reply {
    error(404, "NoSuchUpload", "The specified upload does not exist.")
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Reply::Whole(status, "application/xml", Vec::new(), text.into_bytes())
}
