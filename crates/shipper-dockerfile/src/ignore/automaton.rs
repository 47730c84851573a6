//! The regular expressions that Docker's matcher builds from ignore patterns, run without backtracking.
//!
//! moby/patternmatcher translates a pattern to Go regexp syntax and escapes only part of the user's text, so `\d`,
//! `[[:alpha:]]`, `|`, `{2}` and a `^` inside a pattern reach the regular expression engine. The subset of Go's
//! syntax that can arise is parsed here (<https://pkg.go.dev/regexp/syntax>) and simulated as an NFA: the time is
//! bounded by pattern length x path length, whatever the pattern.
//!
//! Invariants: input is a sequence of runes in which each invalid byte is U+FFFD; `.` excludes the newline, a
//! negated class includes it; a match may begin anywhere, as with `MatchString`.

use super::expression::{Assert, Node, Reason, Set, is_word_rune, parse};

/// Upper bound for the size of a compiled pattern, in instructions; Go's own bound lies in the same range.
const MAX_INSTRUCTIONS: usize = 1 << 17;
#[derive(Debug, Clone)]
enum Inst {
    Set(Set),
    Assert(Assert),
    Split(usize, usize),
    Match,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(super) struct Automaton {
    program: Vec<Inst>,
    literals: Literals,
}

/// Texts without which nothing matches; they decide most paths before the program runs.
#[derive(Debug, Clone, Default)]
struct Literals {
    /// What every match begins with; `None` if it may begin anywhere.
    prefix: Option<Vec<u8>>,
    /// What every match ends with.
    suffix: Vec<u8>,
    /// What every match contains.
    inner: Vec<u8>,
}

impl Automaton {
    /// Compiles `expression`, given as runes.
    pub(super) fn new(expression: &[u32]) -> Result<Automaton, Reason> {
        let alternatives = parse(expression)?;
        let mut program = Vec::new();
        compile_alternatives(&alternatives, &mut program)?;
        program.push(Inst::Match);
        let literals = match alternatives.as_slice() {
            [only] => Literals::new(only),
            _ => Literals::default(),
        };
        Ok(Automaton { program, literals })
    }

    /// What every match begins with; `None` if a match may begin anywhere.
    pub(super) fn prefix(&self) -> Option<&[u8]> {
        self.literals.prefix.as_deref()
    }

    /// `false` if the expression does not match the path `text` for certain.
    pub(super) fn may_match(&self, text: &[u8]) -> bool {
        let Literals { prefix, suffix, inner } = &self.literals;
        // Not even compared when empty: comparing nothing with a dangling pointer costs some processors 80 ns.
        let begins = || prefix.as_ref().is_none_or(|prefix| prefix.is_empty() || text.starts_with(prefix));
        let ends = || suffix.is_empty() || text.ends_with(suffix);
        let has_inner = || inner.is_empty() || text.windows(inner.len()).any(|window| window == inner);
        begins() && ends() && has_inner()
    }

    /// Whether the expression matches somewhere in `text`.
    pub(super) fn is_match(&self, text: &[u32]) -> bool {
        let mut current = Threads::new(self.program.len());
        let mut next = Threads::new(self.program.len());
        for at in 0..=text.len() {
            if self.follow(0, at, text, &mut current) {
                return true;
            }
            let Some(&rune) = text.get(at) else { break };
            for index in 0..current.list.len() {
                let thread = current.list[index];
                if let Inst::Set(set) = &self.program[thread]
                    && set.contains(rune)
                    && self.follow(thread + 1, at + 1, text, &mut next)
                {
                    return true;
                }
            }
            std::mem::swap(&mut current, &mut next);
            next.clear();
        }
        false
    }

    /// Adds `start` and all that follows without reading a rune; whether that includes the end of the program.
    fn follow(&self, start: usize, at: usize, text: &[u32], threads: &mut Threads) -> bool {
        threads.stack.push(start);
        while let Some(pc) = threads.stack.pop() {
            if std::mem::replace(&mut threads.seen[pc], true) {
                continue;
            }
            threads.touched.push(pc);
            match &self.program[pc] {
                Inst::Match => return true,
                Inst::Set(_) => threads.list.push(pc),
                Inst::Split(first, second) => threads.stack.extend([*second, *first]),
                Inst::Assert(assert) => {
                    if holds(*assert, at, text) {
                        threads.stack.push(pc + 1);
                    }
                }
            }
        }
        false
    }
}

/// The program counters that are alive at one position.
struct Threads {
    list: Vec<usize>,
    seen: Vec<bool>,
    touched: Vec<usize>,
    /// Scratch space of `follow`; empty between calls.
    stack: Vec<usize>,
}

impl Threads {
    fn new(size: usize) -> Threads {
        Threads { list: Vec::new(), seen: vec![false; size], touched: Vec::new(), stack: Vec::new() }
    }

    fn clear(&mut self) {
        self.list.clear();
        for pc in self.touched.drain(..) {
            self.seen[pc] = false;
        }
    }
}

fn holds(assert: Assert, at: usize, text: &[u32]) -> bool {
    let is_word = |rune: Option<&u32>| rune.is_some_and(|&rune| is_word_rune(rune));
    let boundary = || is_word(at.checked_sub(1).and_then(|before| text.get(before))) != is_word(text.get(at));
    match assert {
        Assert::Begin => at == 0,
        Assert::End => at == text.len(),
        Assert::WordBoundary => boundary(),
        Assert::NotWordBoundary => !boundary(),
    }
}

fn compile_alternatives(alternatives: &[Vec<Node>], program: &mut Vec<Inst>) -> Result<(), Reason> {
    let mut jumps = Vec::new();
    for (index, sequence) in alternatives.iter().enumerate() {
        let split = program.len();
        let last = index + 1 == alternatives.len();
        if !last {
            program.push(Inst::Split(split + 1, 0));
        }
        for node in sequence {
            compile(node, program)?;
        }
        if !last {
            jumps.push(program.len());
            program.push(Inst::Split(0, 0));
            program[split] = Inst::Split(split + 1, program.len());
        }
    }
    for jump in jumps {
        program[jump] = Inst::Split(program.len(), program.len());
    }
    Ok(())
}

fn compile(node: &Node, program: &mut Vec<Inst>) -> Result<(), Reason> {
    if program.len() > MAX_INSTRUCTIONS {
        return Err("is too large");
    }
    match node {
        Node::Set(set) => program.push(Inst::Set(set.clone())),
        Node::Assert(assert) => program.push(Inst::Assert(*assert)),
        Node::Group(alternatives) => compile_alternatives(alternatives, program)?,
        Node::Repeat { node, min, max } => {
            for _ in 0..*min {
                compile(node, program)?;
            }
            match max {
                None => {
                    let split = program.len();
                    program.push(Inst::Split(split + 1, 0));
                    compile(node, program)?;
                    program.push(Inst::Split(split, split));
                    program[split] = Inst::Split(split + 1, program.len());
                }
                Some(max) => {
                    let mut splits = Vec::new();
                    for _ in *min..*max {
                        splits.push(program.len());
                        program.push(Inst::Split(0, 0));
                        compile(node, program)?;
                    }
                    for split in splits {
                        program[split] = Inst::Split(split + 1, program.len());
                    }
                }
            }
        }
    }
    Ok(())
}

impl Literals {
    fn new(sequence: &[Node]) -> Literals {
        let prefix = match sequence {
            [Node::Assert(Assert::Begin), rest @ ..] => Some(rest.iter().map_while(literal).collect::<String>().into()),
            _ => None,
        };
        let suffix = match sequence {
            [rest @ .., Node::Assert(Assert::End)] => {
                let start = rest.len() - rest.iter().rev().take_while(|node| literal(node).is_some()).count();
                rest[start..].iter().filter_map(literal).collect::<String>().into()
            }
            _ => Vec::new(),
        };
        let runs = sequence.split(|node| literal(node).is_none());
        let inner = runs.map(|run| run.iter().filter_map(literal).collect::<String>()).max_by_key(String::len);
        let mut inner: Vec<u8> = inner.unwrap_or_default().into();
        // The whole path is searched for it, so it should say more than the ends do.
        if inner.len() <= suffix.len().max(prefix.as_ref().map_or(0, Vec::len)) {
            inner.clear();
        }
        Literals { prefix, suffix, inner }
    }
}

/// The character that a node stands for, if it is one. U+FFFD also stands for invalid bytes, so it is none.
fn literal(node: &Node) -> Option<char> {
    match node {
        Node::Set(Set { negated: false, ranges }) => match ranges.as_slice() {
            [(low, high)] if low == high && *low != crate::gopath::RUNE_ERROR => char::from_u32(*low),
            _ => None,
        },
        _ => None,
    }
}
