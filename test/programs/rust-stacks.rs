// Computes at the bottom of what Rust programs are made of, in main and in a thread: closures, trait objects, iterators,
// sorting, hash maps, formatting, panics that are caught. Built with optimization and without frame pointers.
//
//   rust-stacks [--ms 2000] [--hold]
use std::collections::HashMap;
use std::hint::black_box;
use std::io::{stdin, stdout, BufRead, Write};
use std::panic::catch_unwind;
use std::thread::spawn;
use std::time::{Duration, Instant};

#[inline(never)]
fn compute() {
    let mut seed = black_box(1u64);
    for _ in 0..20000 {
        seed = black_box(seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    }
}

#[inline(never)]
fn in_recursion(depth: u32) -> u32 {
    if depth == 0 {
        compute();
        return 1;
    }
    1 + black_box(in_recursion(depth - 1))
}

trait Shape {
    fn draw(&self) -> u64;
}
struct Leaf;
impl Shape for Leaf {
    #[inline(never)]
    fn draw(&self) -> u64 {
        compute();
        black_box(1)
    }
}
struct Group(Box<dyn Shape>);
impl Shape for Group {
    #[inline(never)]
    fn draw(&self) -> u64 {
        black_box(self.0.draw()) + 1
    }
}

#[inline(never)]
fn in_trait_objects() -> u64 {
    let mut shape: Box<dyn Shape> = Box::new(Leaf);
    for _ in 0..5 {
        shape = Box::new(Group(shape));
    }
    black_box(shape.draw())
}

#[inline(never)]
fn in_closure(call: &dyn Fn(u64) -> u64) -> u64 {
    black_box(call(1)) + 1
}

#[inline(never)]
fn in_sort() -> usize {
    let mut words: Vec<String> = (0..200u32).map(|i| format!("{} words", i * 7919 % 1000)).collect();
    words.sort_by(|a, b| b.cmp(a));
    black_box(words).len()
}

#[inline(never)]
fn in_hash_map() -> usize {
    let mut map = HashMap::new();
    for i in 0..300u64 {
        map.insert(i * 7919 % 1000, vec![i; 10]);
    }
    black_box(map).len()
}

#[inline(never)]
fn panics(depth: u32) -> u32 {
    let held = vec![depth; 4];
    if depth == 0 {
        std::panic::resume_unwind(Box::new(1));
    }
    black_box(panics(depth - 1)) + black_box(held)[0]
}
#[inline(never)]
fn in_panics() -> bool {
    black_box(catch_unwind(|| panics(black_box(6))).is_err())
}

#[inline(never)]
fn all_shapes(end: Instant) -> u64 {
    let mut rounds = 0;
    while Instant::now() < end {
        in_recursion(3);
        in_recursion(40);
        in_trait_objects();
        let captured = black_box(rounds);
        in_closure(&|n| {
            compute();
            black_box(captured + n)
        });
        in_sort();
        in_hash_map();
        in_panics();
        rounds += 1;
    }
    rounds
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let ms = args.windows(2).find(|w| w[0] == "--ms").map_or(2000, |w| w[1].parse().unwrap());
    println!("{{\"event\":\"ready\",\"pid\":{}}}", std::process::id());
    stdout().flush().unwrap();
    if args.iter().any(|a| a == "--hold") {
        stdin().lock().read_line(&mut String::new()).unwrap();
    }
    let end = Instant::now() + Duration::from_millis(ms);
    let second = spawn(move || all_shapes(end));
    let rounds = all_shapes(end) + second.join().unwrap();
    println!("{{\"event\":\"result\",\"rounds\":{rounds}}}");
}
