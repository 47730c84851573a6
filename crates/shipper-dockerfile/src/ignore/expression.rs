//! The regular expressions that Docker's matcher builds from ignore patterns, parsed to a tree.
//!
//! The subset of Go's syntax (<https://pkg.go.dev/regexp/syntax>, flags of `regexp.Compile`) that can arise from a
//! pattern: literals, classes, alternatives, repetitions, anchors, escapes, and the matcher's own groups.
//! Invariant: depth of groups and repeat counts are bounded, and so is the tree.

/// Upper bound for a repeat count, and for the product of nested ones (Go: `invalid repeat count`).
const MAX_REPEAT: u32 = 1000;

/// Why an expression does not compile: a fragment that follows the pattern in an error message.
pub(super) type Reason = &'static str;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Set(Set),
    Assert(Assert),
    Group(Vec<Vec<Node>>),
    Repeat { node: Box<Node>, min: u32, max: Option<u32> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assert {
    Begin,
    End,
    WordBoundary,
    NotWordBoundary,
}

/// Runes as inclusive ranges, or all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) negated: bool,
    pub(super) ranges: Vec<(u32, u32)>,
}

impl Set {
    fn one(rune: u32) -> Set {
        Set { negated: false, ranges: vec![(rune, rune)] }
    }

    pub(super) fn contains(&self, rune: u32) -> bool {
        self.ranges.iter().any(|&(low, high)| (low..=high).contains(&rune)) != self.negated
    }
}

/// The alternatives of `expression`, given as runes.
pub(super) fn parse(expression: &[u32]) -> Result<Vec<Vec<Node>>, Reason> {
    Parser { rest: expression }.alternatives(0)
}

/// Whether `rune` counts as a part of a word for `\b`.
pub(super) fn is_word_rune(rune: u32) -> bool {
    WORD.iter().any(|&(low, high)| (low..=high).contains(&rune))
}

/// Parses Go regexp syntax with the flags of `regexp.Compile` (Perl classes, one-line anchors).
struct Parser<'e> {
    rest: &'e [u32],
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.first().and_then(|&rune| char::from_u32(rune))
    }

    fn next(&mut self) -> Option<u32> {
        let (&rune, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(rune)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Alternatives up to the end, or up to the `)` of a group.
    fn alternatives(&mut self, depth: usize) -> Result<Vec<Vec<Node>>, Reason> {
        let mut alternatives = vec![Vec::new()];
        let mut repeated = false;
        loop {
            let after_repeat = std::mem::take(&mut repeated);
            let sequence = alternatives.last_mut().expect("because the list never becomes empty");
            let Some(rune) = self.next() else {
                return if depth == 0 { Ok(alternatives) } else { Err("has an open group") };
            };
            let node = match char::from_u32(rune) {
                Some('|') => {
                    alternatives.push(Vec::new());
                    continue;
                }
                Some(')') if depth > 0 => return Ok(alternatives),
                Some(')') => return Err("has a group that does not begin"),
                // Only the matcher's own `(.*/)?` opens a group, so the depth is never more than one.
                Some('(') if depth > 8 => return Err("nests groups too deeply"),
                Some('(') => Node::Group(self.alternatives(depth + 1)?),
                Some('^') => Node::Assert(Assert::Begin),
                Some('$') => Node::Assert(Assert::End),
                Some('.') => Node::Set(Set { negated: true, ranges: vec![(0x0A, 0x0A)] }),
                Some('[') => Node::Set(self.class()?),
                Some('*') => {
                    repeat(sequence, 0, None, after_repeat)?;
                    repeated = true;
                    continue;
                }
                Some('?') => {
                    repeat(sequence, 0, Some(1), after_repeat)?;
                    repeated = true;
                    continue;
                }
                Some('{') => match self.counts()? {
                    Some((min, max)) => {
                        repeat(sequence, min, max, after_repeat)?;
                        repeated = true;
                        continue;
                    }
                    None => Node::Set(Set::one(rune)),
                },
                Some('\\') => match self.escape_outside_class(sequence)? {
                    Some(node) => node,
                    None => continue,
                },
                _ => Node::Set(Set::one(rune)),
            };
            sequence.push(node);
        }
    }

    /// The counts after `{`, or `None` (nothing consumed) when the brace is a plain character.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, Reason> {
        let before = self.rest;
        let parsed = (|| {
            let min = self.number()?;
            let max = if self.eat(',') {
                if self.peek() == Some('}') { None } else { Some(self.number()?) }
            } else {
                Some(min)
            };
            self.eat('}').then_some((min, max))
        })();
        match parsed {
            None => {
                self.rest = before;
                Ok(None)
            }
            Some((min, max)) if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || min > max) => {
                Err("has an invalid repeat count")
            }
            counts => Ok(counts),
        }
    }

    /// A decimal number without leading zeros; a very long one saturates.
    fn number(&mut self) -> Option<u32> {
        let digit = |parser: &Self| parser.peek().and_then(|rune| rune.to_digit(10));
        let first = digit(self)?;
        self.rest = &self.rest[1..];
        let mut value = first;
        while let Some(next) = digit(self) {
            if first == 0 {
                return None;
            }
            value = value.saturating_mul(10).saturating_add(next);
            self.rest = &self.rest[1..];
        }
        Some(value)
    }

    /// What follows a `\` outside a class; `None` when it added to `sequence` by itself.
    fn escape_outside_class(&mut self, sequence: &mut Vec<Node>) -> Result<Option<Node>, Reason> {
        if let Some(set) = self.peek().and_then(perl_class) {
            self.rest = &self.rest[1..];
            return Ok(Some(Node::Set(set)));
        }
        let assert = match self.peek() {
            Some('A') => Assert::Begin,
            Some('z') => Assert::End,
            Some('b') => Assert::WordBoundary,
            Some('B') => Assert::NotWordBoundary,
            Some('Q') => {
                self.rest = &self.rest[1..];
                while !self.rest.is_empty() {
                    if self.rest.starts_with(&[u32::from(b'\\'), u32::from(b'E')]) {
                        self.rest = &self.rest[2..];
                        break;
                    }
                    sequence.extend(self.next().map(|rune| Node::Set(Set::one(rune))));
                }
                return Ok(None);
            }
            _ => return Ok(Some(Node::Set(Set::one(self.escaped_rune()?)))),
        };
        self.rest = &self.rest[1..];
        Ok(Some(Node::Assert(assert)))
    }

    /// The rune that an escape sequence after `\` names.
    fn escaped_rune(&mut self) -> Result<u32, Reason> {
        const UNKNOWN: Reason = "has an unknown escape sequence";
        let rune = self.next().ok_or("ends in a backslash")?;
        match char::from_u32(rune).ok_or(UNKNOWN)? {
            'p' | 'P' => Err("uses a Unicode class (`\\p`, `\\P`), which is not supported"),
            'a' => Ok(0x07),
            'f' => Ok(0x0C),
            'n' => Ok(0x0A),
            'r' => Ok(0x0D),
            't' => Ok(0x09),
            'v' => Ok(0x0B),
            'x' => self.hexadecimal().ok_or(UNKNOWN),
            digit @ '0'..='7' => {
                let octal = |parser: &Self| parser.peek().and_then(|rune| rune.to_digit(8));
                if digit != '0' && octal(self).is_none() {
                    return Err(UNKNOWN);
                }
                let mut value = rune - u32::from(b'0');
                for _ in 1..3 {
                    let Some(next) = octal(self) else { break };
                    value = value * 8 + next;
                    self.rest = &self.rest[1..];
                }
                Ok(value)
            }
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Ok(rune),
            _ => Err(UNKNOWN),
        }
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digit = |rune: u32| char::from_u32(rune).and_then(|rune| rune.to_digit(16));
        if !self.eat('{') {
            return Some(digit(self.next()?)? * 16 + digit(self.next()?)?);
        }
        let mut value = None;
        while !self.eat('}') {
            let next = value.unwrap_or(0) * 16 + digit(self.next()?)?;
            value = Some((next <= u32::from(char::MAX)).then_some(next)?);
        }
        value
    }

    /// The class after `[`.
    fn class(&mut self) -> Result<Set, Reason> {
        const OPEN: Reason = "has an open character class";
        let mut set = Set { negated: self.eat('^'), ranges: Vec::new() };
        let mut first = true;
        loop {
            if !first && self.eat(']') {
                return Ok(set);
            }
            first = false;
            if self.rest.starts_with(&[u32::from(b'['), u32::from(b':')])
                && let Some(length) =
                    self.rest[2..].windows(2).position(|pair| pair == [u32::from(b':'), u32::from(b']')])
            {
                let name: String = self.rest[2..2 + length].iter().filter_map(|&rune| char::from_u32(rune)).collect();
                set.ranges.extend(posix_class(&name).ok_or("has an unknown character class")?);
                self.rest = &self.rest[length + 4..];
                continue;
            }
            if let [slash, letter, ..] = self.rest
                && *slash == u32::from(b'\\')
                && let Some(perl) = char::from_u32(*letter).and_then(perl_class)
            {
                set.ranges.extend(if perl.negated { complement(&perl.ranges) } else { perl.ranges });
                self.rest = &self.rest[2..];
                continue;
            }
            let low = self.class_rune()?.ok_or(OPEN)?;
            let mut high = low;
            if let [dash, after, ..] = self.rest
                && *dash == u32::from(b'-')
                && *after != u32::from(b']')
            {
                self.rest = &self.rest[1..];
                high = self.class_rune()?.ok_or(OPEN)?;
                if high < low {
                    return Err("has a range that runs backwards");
                }
            }
            set.ranges.push((low, high));
        }
    }

    fn class_rune(&mut self) -> Result<Option<u32>, Reason> {
        match self.next() {
            Some(rune) if rune == u32::from(b'\\') => self.escaped_rune().map(Some),
            rune => Ok(rune),
        }
    }
}

/// Puts a repeat operator on the last node of `sequence`.
fn repeat(sequence: &mut Vec<Node>, min: u32, max: Option<u32>, after_repeat: bool) -> Result<(), Reason> {
    if after_repeat {
        return Err("repeats a repetition");
    }
    let node = Box::new(sequence.pop().ok_or("repeats nothing")?);
    let repeated = Node::Repeat { node, min, max };
    if (min >= 2 || max.is_some_and(|max| max >= 2)) && !repeat_is_small(&repeated, MAX_REPEAT) {
        return Err("has an invalid repeat count");
    }
    sequence.push(repeated);
    Ok(())
}

/// Whether the product of nested repeat counts stays within `limit`.
fn repeat_is_small(node: &Node, limit: u32) -> bool {
    match node {
        Node::Repeat { max: Some(0), .. } => true,
        Node::Repeat { node, min, max } => {
            let count = max.unwrap_or(*min);
            count <= limit && repeat_is_small(node, limit.checked_div(count).unwrap_or(limit))
        }
        Node::Group(alternatives) => alternatives.iter().flatten().all(|node| repeat_is_small(node, limit)),
        Node::Set(_) | Node::Assert(_) => true,
    }
}

type Ranges = &'static [(u32, u32)];

const DIGIT: Ranges = &[(0x30, 0x39)];
const SPACE: Ranges = &[(0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)];
const WORD: Ranges = &[(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)];

/// `\d \D \s \S \w \W`.
fn perl_class(letter: char) -> Option<Set> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => DIGIT,
        's' => SPACE,
        'w' => WORD,
        _ => return None,
    };
    Some(Set { negated: letter.is_ascii_uppercase(), ranges: ranges.to_vec() })
}

/// The ranges of `[:name:]` or `[:^name:]`.
fn posix_class(name: &str) -> Option<Vec<(u32, u32)>> {
    let (negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
    let ranges: Ranges = match name {
        "alnum" => &[(0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)],
        "alpha" => &[(0x41, 0x5A), (0x61, 0x7A)],
        "ascii" => &[(0x00, 0x7F)],
        "blank" => &[(0x09, 0x09), (0x20, 0x20)],
        "cntrl" => &[(0x00, 0x1F), (0x7F, 0x7F)],
        "digit" => DIGIT,
        "graph" => &[(0x21, 0x7E)],
        "lower" => &[(0x61, 0x7A)],
        "print" => &[(0x20, 0x7E)],
        "punct" => &[(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
        "space" => &[(0x09, 0x0D), (0x20, 0x20)],
        "upper" => &[(0x41, 0x5A)],
        "word" => WORD,
        "xdigit" => &[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
        _ => return None,
    };
    Some(if negated { complement(ranges) } else { ranges.to_vec() })
}

/// All other runes; `ranges` are sorted and apart.
fn complement(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    let mut from = 0;
    for &(low, high) in ranges {
        if from < low {
            out.push((from, low - 1));
        }
        from = high + 1;
    }
    out.push((from, u32::from(char::MAX)));
    out
}
