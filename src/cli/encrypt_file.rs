//! Envelope encryption of local files: a data key from the service, the file sealed under it. `-` stands for standard
//! input or standard output. Asks the service for one data key per file; never sends it any of the file.
//!
//! A file appears under its final name only when it is whole: it is written as `<output>.partial` (mode 0600) beside
//! it, synced and renamed. On standard output there is no such protection: every chunk is authentic, but only success
//! says that none is missing at the end, so the program must end with a failure when this module returns an error. A
//! run that is killed leaves its `.partial` behind, after decryption with plaintext in it.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{Client, ClientError};
use super::sealed_file::{self, Algorithm, Header, HeaderParts, NONCE_BYTES, SealedFileError};
use crate::env::Clock;

/// What was done, for the caller to print.
#[derive(Debug)]
pub struct Summary {
    /// Bytes of the file itself, without header and tags.
    pub bytes: u64,
    /// How long it took, with the call to the service.
    pub seconds: f64,
}

/// Encrypts `input` into `output` under a new data key of the key that `key` names, an id or an alias. An existing
/// output, or one left half written, is replaced only with `force`.
pub fn encrypt_file(
    client: &Client,
    key: &str,
    algorithm: Algorithm,
    input: &Path,
    output: &Path,
    force: bool,
) -> Result<Summary, EncryptFileError> {
    let nonce = client.random_bytes()?;
    let clock = &client.env().clock;
    seal_with(algorithm, nonce, input, output, force, clock, || generate_data_key(client, key, algorithm))
}

/// Decrypts `input`, made by [`encrypt_file`], into `output`. An existing output, or one left half written, is
/// replaced only with `force`.
pub fn decrypt_file(
    client: &Client,
    input: &Path,
    output: &Path,
    force: bool,
) -> Result<Summary, EncryptFileError> {
    let clock = &client.env().clock;
    open_with(input, output, force, clock, |header| decrypt_data_key(client, header))
}

/// Why a file was not encrypted or decrypted.
#[derive(Debug)]
pub enum EncryptFileError {
    /// The service did not give the data key.
    Client(Box<ClientError>),
    /// The reply of the service lacks a field, or it has another form.
    ReplyIncomplete {
        /// Its name.
        field: &'static str,
    },
    /// The data key is under another key than the header says.
    OtherKey {
        /// What the header says.
        header: String,
        /// What the service says.
        service: String,
    },
    /// The input is not a sealed file, or not a whole one.
    Sealed {
        /// The input.
        path: PathBuf,
        /// What is wrong with it.
        cause: SealedFileError,
    },
    /// The input cannot be read.
    Read {
        /// The input.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The output cannot be written.
    Write {
        /// The output, or the file beside it.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There is a file of that name.
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// There is something of that name that is not a file, or it is not a name.
    OutputNotFile {
        /// The output.
        path: PathBuf,
    },
    /// A run that was broken off, or one that still goes on, has written here.
    PartialExists {
        /// The half-written file.
        path: PathBuf,
    },
}

impl fmt::Display for EncryptFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(cause) => cause.fmt(f),
            Self::ReplyIncomplete { field } => {
                write!(f, "the reply has no usable {field}: check that the endpoint is this service")
            }
            Self::OtherKey { header, service } => {
                write!(
                    f,
                    "the file names key {header} but its data key is under {service}: its header was altered"
                )
            }
            Self::Sealed { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::Read { path, cause } => {
                write!(f, "cannot read {}: {cause}; check the name and the permissions", path.display())
            }
            Self::Write { path, cause } => {
                write!(
                    f,
                    "cannot write {}: {cause}; check its folder, the permissions and the free space",
                    path.display()
                )
            }
            Self::OutputExists { path } => {
                write!(
                    f,
                    "{} exists already: choose another name, or replace it with --force",
                    path.display()
                )
            }
            Self::OutputNotFile { path } => {
                write!(f, "{} is not a regular file: name a file, or - for standard output", path.display())
            }
            Self::PartialExists { path } => write!(
                f,
                "{} is left from a run that was broken off, or one is still writing it: delete it, or replace it with --force",
                path.display()
            ),
        }
    }
}

impl Error for EncryptFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Client(cause) => Some(cause.as_ref()),
            Self::Sealed { cause, .. } => Some(cause),
            Self::Read { cause, .. } | Self::Write { cause, .. } => Some(cause),
            Self::ReplyIncomplete { .. }
            | Self::OtherKey { .. }
            | Self::OutputExists { .. }
            | Self::OutputNotFile { .. }
            | Self::PartialExists { .. } => None,
        }
    }
}

impl From<ClientError> for EncryptFileError {
    fn from(cause: ClientError) -> Self {
        Self::Client(Box::new(cause))
    }
}

/// A new data key: in clear, and as it goes into the header.
struct DataKey {
    plaintext: Zeroizing<Vec<u8>>,
    cmk_uuid: String,
    key_version_id: String,
    ciphertext_blob: String,
}

fn generate_data_key(client: &Client, key: &str, algorithm: Algorithm) -> Result<DataKey, EncryptFileError> {
    let body = json!({"cmkUuid": key, "keySpec": algorithm.name()});
    let mut reply = client.call("generateDataKey", &body)?;
    Ok(DataKey {
        plaintext: take_secret(&mut reply, "plaintext")?,
        cmk_uuid: take_text(&mut reply, "cmkUuid")?,
        key_version_id: take_text(&mut reply, "keyVersionId")?,
        ciphertext_blob: take_text(&mut reply, "ciphertextBlob")?,
    })
}

fn decrypt_data_key(client: &Client, header: &Header) -> Result<Zeroizing<Vec<u8>>, EncryptFileError> {
    let body = json!({"ciphertextBlob": header.ciphertext_blob()});
    let mut reply = client.call("decrypt", &body)?;
    data_key_of(&mut reply, header)
}

fn data_key_of(reply: &mut Value, header: &Header) -> Result<Zeroizing<Vec<u8>>, EncryptFileError> {
    let plaintext = take_secret(reply, "plaintext")?;
    let service = take_text(reply, "cmkUuid")?;
    if service != header.cmk_uuid() {
        return Err(EncryptFileError::OtherKey { header: header.cmk_uuid().to_owned(), service });
    }
    Ok(plaintext)
}

fn take_text(reply: &mut Value, field: &'static str) -> Result<String, EncryptFileError> {
    match reply.get_mut(field).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(EncryptFileError::ReplyIncomplete { field }),
    }
}

/// Takes a Base64 field out of the reply, so that no copy of it stays behind in either form.
fn take_secret(reply: &mut Value, field: &'static str) -> Result<Zeroizing<Vec<u8>>, EncryptFileError> {
    let text = Zeroizing::new(take_text(reply, field)?);
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| EncryptFileError::ReplyIncomplete { field })?;
    Ok(Zeroizing::new(bytes))
}

/// Encrypts with the data key that `data_key` gets; it is asked only once input and output are there.
fn seal_with(
    algorithm: Algorithm,
    nonce: [u8; NONCE_BYTES],
    input: &Path,
    output: &Path,
    force: bool,
    clock: &Clock,
    data_key: impl FnOnce() -> Result<DataKey, EncryptFileError>,
) -> Result<Summary, EncryptFileError> {
    let start = clock.monotonic();
    let mut source = open_input(input)?;
    let mut target = Target::create(output, force)?;
    let key = data_key()?;
    let parts = HeaderParts {
        algorithm,
        cmk_uuid: &key.cmk_uuid,
        key_version_id: &key.key_version_id,
        ciphertext_blob: &key.ciphertext_blob,
    };
    let bar = progress_bar(regular_bytes(&source), output);
    let bytes = sealed_file::seal(&parts, &key.plaintext, nonce, &mut source, target.file(), &mut |done| {
        bar.set_position(done);
    })
    .map_err(|cause| located(cause, input, output))?;
    target.finish()?;
    Ok(Summary { bytes, seconds: (clock.monotonic() - start).as_secs_f64() })
}

/// Decrypts with the data key that `data_key` gets for a header; it is asked only once the output is there.
fn open_with(
    input: &Path,
    output: &Path,
    force: bool,
    clock: &Clock,
    data_key: impl FnOnce(&Header) -> Result<Zeroizing<Vec<u8>>, EncryptFileError>,
) -> Result<Summary, EncryptFileError> {
    let start = clock.monotonic();
    let mut source = open_input(input)?;
    let (header, binding) =
        sealed_file::read_header(&mut source).map_err(|cause| located(cause, input, output))?;
    let mut target = Target::create(output, force)?;
    let key = data_key(&header)?;
    let sealed_bytes =
        regular_bytes(&source).zip(source.stream_position().ok()).map(|(all, at)| all.saturating_sub(at));
    let bar = progress_bar(sealed_bytes.map(|bytes| header.plain_bytes(bytes)), output);
    let bytes = sealed_file::open(&header, &binding, &key, &mut source, target.file(), &mut |done| {
        bar.set_position(done);
    })
    .map_err(|cause| located(cause, input, output))?;
    target.finish()?;
    Ok(Summary { bytes, seconds: (clock.monotonic() - start).as_secs_f64() })
}

/// Says which file it was.
fn located(cause: SealedFileError, input: &Path, output: &Path) -> EncryptFileError {
    match cause {
        SealedFileError::Read(cause) => {
            EncryptFileError::Read { path: spoken(input, "standard input"), cause }
        }
        SealedFileError::Write(cause) => {
            EncryptFileError::Write { path: spoken(output, "standard output"), cause }
        }
        cause => EncryptFileError::Sealed { path: spoken(input, "standard input"), cause },
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name for people: `stream` for `-`.
fn spoken(path: &Path, stream: &str) -> PathBuf {
    if is_standard(path) { PathBuf::from(stream) } else { path.to_owned() }
}

fn open_input(path: &Path) -> Result<File, EncryptFileError> {
    let failed = |cause| EncryptFileError::Read { path: spoken(path, "standard input"), cause };
    if is_standard(path) {
        // The descriptor itself: the buffer of the standard library would keep a copy of the plaintext.
        return Ok(File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?));
    }
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// The size of a file; nothing of a pipe or device.
fn regular_bytes(file: &File) -> Option<u64> {
    file.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Where the result goes.
enum Target {
    Stdout(File),
    Partial(Partial),
}

impl Target {
    fn create(output: &Path, force: bool) -> Result<Self, EncryptFileError> {
        if is_standard(output) {
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            let file = stdout.map_err(|cause| EncryptFileError::Write {
                path: spoken(output, "standard output"),
                cause,
            })?;
            return Ok(Self::Stdout(File::from(file)));
        }
        Partial::create(output, force).map(Self::Partial)
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Stdout(file) => file,
            Self::Partial(partial) => &mut partial.file,
        }
    }

    fn finish(self) -> Result<(), EncryptFileError> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::Partial(partial) => partial.finish(),
        }
    }
}

/// A file that is being written beside its final name. Dropped unfinished, it is deleted.
struct Partial {
    file: File,
    path: PathBuf,
    output: PathBuf,
    force: bool,
    renamed: bool,
}

impl Partial {
    fn create(output: &Path, force: bool) -> Result<Self, EncryptFileError> {
        check_output(output, force)?;
        let mut name: OsString = output
            .file_name()
            .ok_or_else(|| EncryptFileError::OutputNotFile { path: output.to_owned() })?
            .to_owned();
        name.push(".partial");
        let path = output.with_file_name(name);
        let failed = |cause| EncryptFileError::Write { path: path.clone(), cause };
        if force {
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
                Ok(()) | Err(_) => {}
            }
        }
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(|cause| {
                if cause.kind() == io::ErrorKind::AlreadyExists {
                    EncryptFileError::PartialExists { path: path.clone() }
                } else {
                    failed(cause)
                }
            })?;
        Ok(Self { file, path, output: output.to_owned(), force, renamed: false })
    }

    fn finish(mut self) -> Result<(), EncryptFileError> {
        self.file.sync_all().map_err(|cause| EncryptFileError::Write { path: self.path.clone(), cause })?;
        self.rename()?;
        self.renamed = true;
        // The file is whole under either name: a folder that cannot be synced is no reason to fail.
        let folder = self.output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Gives the file its name; without `force` even a file that came into being meanwhile is not replaced.
    fn rename(&self) -> Result<(), EncryptFileError> {
        let failed = |cause| EncryptFileError::Write { path: self.output.clone(), cause };
        if !self.force {
            match renameat_with(CWD, &self.path, CWD, &self.output, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {
                    return Err(EncryptFileError::OutputExists { path: self.output.clone() });
                }
                // A file system without this flag: look once more, then rename.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                Err(cause) => return Err(failed(cause.into())),
            }
        }
        check_output(&self.output, self.force)?;
        fs::rename(&self.path, &self.output).map_err(failed)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Only a regular file may be replaced, never a folder, device or link, and only with `force`.
fn check_output(output: &Path, force: bool) -> Result<(), EncryptFileError> {
    match fs::symlink_metadata(output) {
        Ok(metadata) if !metadata.is_file() => {
            Err(EncryptFileError::OutputNotFile { path: output.to_owned() })
        }
        Ok(_) if !force => Err(EncryptFileError::OutputExists { path: output.to_owned() }),
        Ok(_) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(EncryptFileError::Write { path: output.to_owned(), cause }),
    }
}

/// A bar on a terminal, a spinner where the size is unknown, nothing where nobody looks or where the file itself goes
/// to the terminal. It vanishes when it is dropped.
fn progress_bar(bytes: Option<u64>, output: &Path) -> ProgressBar {
    if !io::stderr().is_terminal() || (is_standard(output) && io::stdout().is_terminal()) {
        return ProgressBar::hidden();
    }
    let template = match bytes {
        Some(_) => "[{wide_bar}] {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}",
        None => "{spinner} {bytes}  {bytes_per_sec}  {elapsed}",
    };
    let style =
        ProgressStyle::with_template(template).expect("both templates are constant and drawn by hand");
    ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr())
        .with_style(style.progress_chars("=> "))
        .with_finish(ProgressFinish::AndClear)
}

#[cfg(test)]
mod tests;
