// Waits for the read-write lock and the mutex of Rust's own standard library, and a parked thread, for some time. Prints where
// the locks are. What their words mean is in word-locks.c.
//
//   rust-locks [--ms 1500] [--hold]
use std::io::{stdin, stdout, BufRead, Write};
use std::sync::{Mutex, RwLock};
use std::thread::{park, sleep, spawn};
use std::time::{Duration, Instant};

static RWLOCK: RwLock<u64> = RwLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);

#[inline(never)]
fn write_it(end: Instant) {
    while Instant::now() < end {
        let mut value = RWLOCK.write().unwrap();
        *value += 1;
        sleep(Duration::from_millis(3));
    }
}

#[inline(never)]
fn read_it(end: Instant) {
    while Instant::now() < end {
        let value = RWLOCK.read().unwrap();
        std::hint::black_box(*value);
        sleep(Duration::from_millis(1));
    }
}

#[inline(never)]
fn lock_it(end: Instant) {
    while Instant::now() < end {
        *MUTEX.lock().unwrap() += 1;
        let held = MUTEX.lock().unwrap();
        sleep(Duration::from_millis(3));
        drop(held);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let ms = args.iter().position(|a| a == "--ms").map_or(1500, |at| args[at + 1].parse().unwrap());
    println!("{{\"event\":\"ready\",\"pid\":{}}}", std::process::id());
    stdout().flush().unwrap();
    if args.iter().any(|a| a == "--hold") {
        let mut line = String::new();
        if stdin().lock().read_line(&mut line).unwrap() == 0 {
            std::process::exit(3);
        }
    }
    let end = Instant::now() + Duration::from_millis(ms);
    let parked = spawn(move || {
        while Instant::now() < end {
            park();
        }
    });
    let roles = [write_it, write_it, write_it, read_it, read_it, lock_it, lock_it, lock_it];
    let threads: Vec<_> = roles.into_iter().map(|role| spawn(move || role(end))).collect();
    while Instant::now() < end {
        sleep(Duration::from_millis(50));
        parked.thread().unpark();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    parked.thread().unpark();
    parked.join().unwrap();
    let at = |lock: *const u8| lock as usize;
    println!(
        "{{\"event\":\"result\",\"rwlock\":{},\"mutex\":{}}}",
        at(std::ptr::addr_of!(RWLOCK) as *const u8),
        at(std::ptr::addr_of!(MUTEX) as *const u8)
    );
}
