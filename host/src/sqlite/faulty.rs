//! A disk that fails on command, for tests. It stands between SQLite and the files of one folder, knows what a
//! power failure would leave of them, and is not noticed by any other file.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};

use rusqlite::ffi;
use tempfile::TempDir;

/// A power failure keeps or loses what was not synced in pieces of this size.
const SECTOR: usize = 512;

/// What SQLite asks of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read,
    Write,
    Sync,
    Truncate,
    Delete,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One call fails. A write does half of its work; a sync loses some of what it should have kept, for good.
    Error,
    /// From then on no write finds room.
    Full,
    /// From then on no call succeeds, until [`FaultyDisk::restart`].
    PowerFailure,
}

/// A folder on a disk that fails.
pub struct FaultyDisk {
    folder: TempDir,
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    files: HashMap<PathBuf, Durable>,
    /// The fault to come, and how many calls come before it.
    planned: Option<(Fault, u64)>,
    /// The fault that holds on.
    lasting: Option<Fault>,
    /// What failed.
    failed: Option<Call>,
    syncs_after_failure: u64,
    random: u64,
}

/// What a file would be after a power failure: its content after the last sync, and what was done to it since.
#[derive(Default)]
struct Durable {
    content: Vec<u8>,
    since: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl FaultyDisk {
    pub fn new(seed: u64) -> Self {
        register();
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(Mutex::new(Disk { random: seed, ..Disk::default() }));
        let path = folder.path().canonicalize().expect("it is there");
        lock(&DISKS).push((path, Arc::downgrade(&disk)));
        Self { folder, disk }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there").join(file)
    }

    /// Plans a fault after so many more calls of those that it can hit.
    pub fn plan(&self, fault: Fault, after: u64) {
        let mut disk = lock(&self.disk);
        (disk.planned, disk.failed, disk.syncs_after_failure) = (Some((fault, after)), None, 0);
    }

    /// What failed since the fault was planned.
    pub fn failed(&self) -> Option<Call> {
        lock(&self.disk).failed
    }

    /// How often a sync was asked for after something had failed.
    pub fn syncs_after_failure(&self) -> u64 {
        lock(&self.disk).syncs_after_failure
    }

    /// Nothing fails any more. What was lost stays lost.
    pub fn mend(&self) {
        let mut disk = lock(&self.disk);
        (disk.planned, disk.lasting) = (None, None);
    }

    /// Brings the files into the state in which a power failure leaves them. All must be closed.
    pub fn restart(&self) {
        self.mend();
        let mut disk = lock(&self.disk);
        for (path, mut durable) in std::mem::take(&mut disk.files) {
            durable.keep_some(&mut disk.random);
            std::fs::write(&path, &durable.content).expect("the real disk works");
            let mut shared_memory = path.into_os_string();
            shared_memory.push("-shm");
            let _ = std::fs::remove_file(shared_memory);
        }
    }
}

impl Disk {
    /// The error that SQLite gets for this call; none when it is to succeed.
    fn fault(&mut self, call: Call) -> Option<c_int> {
        self.syncs_after_failure += u64::from(call == Call::Sync && self.failed.is_some());
        if let Some((fault, left)) = self.planned.take_if(|(fault, _)| fault.hits(call)) {
            if left > 0 {
                self.planned = Some((fault, left - 1));
            } else {
                self.failed = Some(call);
                self.lasting = (fault != Fault::Error).then_some(fault);
                return Some(fault.code(call));
            }
        }
        self.lasting.filter(|fault| fault.hits(call)).map(|fault| fault.code(call))
    }

    fn change(&mut self, path: &Path, change: Change) {
        if let Some(file) = self.files.get_mut(path) {
            file.since.push(change);
        }
    }
}

impl Fault {
    fn hits(self, call: Call) -> bool {
        match self {
            Self::Error | Self::PowerFailure => true,
            Self::Full => call == Call::Write,
        }
    }

    fn code(self, call: Call) -> c_int {
        match call {
            _ if self == Self::Full => ffi::SQLITE_FULL,
            Call::Read => ffi::SQLITE_IOERR_READ,
            Call::Write => ffi::SQLITE_IOERR_WRITE,
            Call::Sync => ffi::SQLITE_IOERR_FSYNC,
            Call::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Call::Delete => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

impl Durable {
    fn keep_all(&mut self) {
        for change in std::mem::take(&mut self.since) {
            match change {
                Change::Write(offset, bytes) => self.write(offset, &bytes),
                Change::Truncate(size) => self.content.truncate(size),
            }
        }
    }

    /// Keeps every other sector or so of what was written since the last sync, and loses the rest.
    fn keep_some(&mut self, random: &mut u64) {
        for change in std::mem::take(&mut self.since) {
            match change {
                Change::Write(offset, bytes) => {
                    let mut start = 0;
                    while start < bytes.len() {
                        let end = bytes.len().min(start + SECTOR - (offset + start) % SECTOR);
                        if is_kept(random) {
                            self.write(offset + start, &bytes[start..end]);
                        }
                        start = end;
                    }
                }
                Change::Truncate(size) if is_kept(random) => self.content.truncate(size),
                Change::Truncate(_) => {}
            }
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.content.len() < end {
            self.content.resize(end, 0);
        }
        self.content[offset..end].copy_from_slice(bytes);
    }
}

fn is_kept(random: &mut u64) -> bool {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 63 == 0
}

type Disks = Vec<(PathBuf, Weak<Mutex<Disk>>)>;

/// The folders whose disk fails.
static DISKS: Mutex<Disks> = Mutex::new(Vec::new());

fn disk_of(path: &Path) -> Option<Arc<Mutex<Disk>>> {
    let mut disks = lock(&DISKS);
    disks.retain(|(_, disk)| disk.strong_count() > 0);
    disks.iter().find(|(folder, _)| path.starts_with(folder)).and_then(|(_, disk)| disk.upgrade())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open file as SQLite sees it. SQLite gives it its memory, and behind it that of the real file.
#[repr(C)]
struct FaultyFile {
    base: ffi::sqlite3_file,
    /// Taken back when the file is closed.
    place: *mut Place,
}

/// Which file it is, and on which disk.
struct Place {
    path: PathBuf,
    disk: Arc<Mutex<Disk>>,
}

/// SQLite's own way to the files.
struct Real(*mut ffi::sqlite3_vfs);

// SAFETY: it is never changed, and all its functions may be called from every thread.
unsafe impl Send for Real {}
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

fn real() -> *mut ffi::sqlite3_vfs {
    REAL.get().expect("registered before any file is opened with it").0
}

/// Puts this disk before SQLite's own, once for the whole process. Files that are in none of [`DISKS`] are opened by
/// SQLite's own, and never come here again.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default disk lives as long as the process, and so does the copy of it, which has the same
        // functions except for two. Our files take more memory by as much as `FaultyFile` needs.
        unsafe {
            let own = ffi::sqlite3_vfs_find(std::ptr::null());
            REAL.get_or_init(|| Real(own));
            let mut faulty = *own;
            faulty.zName = c"faulty".as_ptr();
            faulty.pNext = null_mut();
            faulty.szOsFile += size_of::<FaultyFile>() as c_int;
            faulty.xOpen = Some(open);
            faulty.xDelete = Some(delete);
            let registered = ffi::sqlite3_vfs_register(Box::into_raw(Box::new(faulty)), 1);
            assert_eq!(registered, ffi::SQLITE_OK);
        }
    });
}

/// SAFETY: `name` is a path that SQLite gives, or null.
unsafe fn path_of(name: *const c_char) -> Option<PathBuf> {
    // SAFETY: see above.
    let name = unsafe { (!name.is_null()).then(|| CStr::from_ptr(name)) };
    name.map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives memory for a `FaultyFile` and a real file behind it, of which either is made.
    unsafe {
        let open_real = (*real()).xOpen.expect("every disk can open files");
        let found = path_of(name).and_then(|path| Some((disk_of(&path)?, path)));
        let Some((disk, path)) = found else { return open_real(real(), name, file, flags, out_flags) };
        (*file).pMethods = std::ptr::null();
        if lock(&disk).lasting == Some(Fault::PowerFailure) {
            return ffi::SQLITE_CANTOPEN;
        }
        let content = std::fs::read(&path);
        let faulty = file.cast::<FaultyFile>();
        let opened = open_real(real(), name, faulty.add(1).cast(), flags, out_flags);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        let mut known = lock(&disk);
        if content.is_err() {
            // It was deleted by somebody else.
            known.files.remove(&path);
        }
        let content = content.unwrap_or_default();
        known.files.entry(path.clone()).or_insert(Durable { content, since: Vec::new() });
        drop(known);
        (*faulty).base.pMethods = &METHODS;
        (*faulty).place = Box::into_raw(Box::new(Place { path, disk }));
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: the call goes on as it came.
    unsafe {
        if let Some(path) = path_of(name)
            && let Some(disk) = disk_of(&path)
        {
            let mut disk = lock(&disk);
            if let Some(error) = disk.fault(Call::Delete) {
                return error;
            }
            disk.files.remove(&path);
        }
        (*real()).xDelete.map_or(ffi::SQLITE_OK, |delete| delete(real(), name, sync_folder))
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(take_lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// SAFETY: `file` was opened by [`open`].
unsafe fn place<'a>(file: *mut ffi::sqlite3_file) -> &'a Place {
    // SAFETY: see above.
    unsafe { &*(*file.cast::<FaultyFile>()).place }
}

/// Calls the same function of the real file. SAFETY: `file` was opened by [`open`].
macro_rules! on_real {
    ($method:ident, $file:expr $(, $argument:expr)*) => {{
        let real: *mut ffi::sqlite3_file = $file.cast::<FaultyFile>().add(1).cast();
        let method = (*(*real).pMethods).$method.expect("SQLite's own files have every function");
        method(real $(, $argument)*)
    }};
}

macro_rules! pass_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) $(-> $answer)? {
            // SAFETY: the call goes on as it came, to a file that `open` made.
            unsafe { on_real!($method, file $(, $argument)*) }
        }
    )*};
}

pass_on! {
    file_size = xFileSize(size: *mut ffi::sqlite3_int64) -> c_int;
    take_lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(reserved: *mut c_int) -> c_int;
    file_control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, memory: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, and does not use it again.
    unsafe {
        let closed = on_real!(xClose, file);
        drop(Box::from_raw((*file.cast::<FaultyFile>()).place));
        closed
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: the call goes on as it came, to a file that `open` made.
    unsafe {
        match lock(&place(file).disk).fault(Call::Read) {
            Some(error) => error,
            None => on_real!(xRead, file, into, amount, offset),
        }
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite gives `amount` bytes; as many or half of them go on to a file that `open` made.
    unsafe {
        let Place { path, disk } = place(file);
        let mut disk = lock(disk);
        let error = disk.fault(Call::Write);
        let done = if error.is_some() { amount / 2 } else { amount };
        if done == 0 || disk.lasting == Some(Fault::PowerFailure) {
            return error.unwrap_or(ffi::SQLITE_OK);
        }
        let written = on_real!(xWrite, file, from, done, offset);
        if written == ffi::SQLITE_OK {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), done as usize).to_vec();
            disk.change(path, Change::Write(offset as usize, bytes));
        }
        error.unwrap_or(written)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: the call goes on as it came, to a file that `open` made.
    unsafe {
        let Place { path, disk } = place(file);
        let mut disk = lock(disk);
        if let Some(error) = disk.fault(Call::Truncate) {
            return error;
        }
        disk.change(path, Change::Truncate(size as usize));
        on_real!(xTruncate, file, size)
    }
}

/// The real file is not synced: a power failure is only played here.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file was made by `open`.
    let Place { path, disk } = unsafe { place(file) };
    let mut disk = lock(disk);
    let error = disk.fault(Call::Sync);
    let Disk { files, random, lasting, .. } = &mut *disk;
    match files.get_mut(path) {
        Some(file) if error.is_none() => file.keep_all(),
        // As with a real disk: the next sync takes all of this for written.
        Some(file) if lasting.is_none() => file.keep_some(random),
        _ => {}
    }
    error.unwrap_or(ffi::SQLITE_OK)
}
