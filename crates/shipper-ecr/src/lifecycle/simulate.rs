//! What a policy would do to the images of a repository.
//!
//! Source: ECR user guide, "Lifecycle policies in Amazon ECR", evaluation rules:
//! - all rules are evaluated together, then applied by priority; an image is acted on by one rule or by none;
//! - an image that a rule's tag selection matches is not acted on by a rule of a later priority, even where the earlier
//!   one leaves it alone; later rules still count it;
//! - each entry of a tag list has to be matched by at least one of the image's tags;
//! - a rule sees images of its storage class; *older than* N days is strictly more;
//! - an image that an index refers to can not be expired before the index; artifacts follow their subject.
//!
//! What the guide leaves open is not decided here: each open question is evaluated in every reading, and an image on
//! which the readings differ is *uncertain*. Open are whether children of indexes and artifacts are ranked and guarded
//! like other images (aws/containers-roadmap 2613), which untagged images are children where indexes were not read, and
//! which of two images pushed at the same time is the older.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::glob::TagGlob;
use super::images::{Children, ImageFacts};
use super::model::{Action, Count, LifecyclePolicy, Rule, TagSelection};

/// What happens to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Keep,
    /// The rule with this priority deletes it.
    Expire(u32),
    /// The rule with this priority moves it to the archive.
    Archive(u32),
    /// By the documentation it may stay or be acted on by the rule with this priority.
    Uncertain(u32),
}

/// The fate of an image, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to it.
    pub fate: Fate,
    /// Why.
    pub why: Why,
}

/// Why an image is kept or acted on. Numbers are rule priorities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A rule acts on it.
    Rule(u32),
    /// No rule is about it.
    NoRule,
    /// The first rule that is about it leaves it alone, and no other would act on it.
    WithinLimit(u32),
    /// `by` is the first rule that is about it and leaves it alone; `from` would act on it.
    Shielded {
        /// The earlier rule.
        by: u32,
        /// The later rule.
        from: u32,
    },
    /// It goes with its index or subject.
    Follows(u32),
    /// An image with the same time stands on the other side of the limit.
    Tie(u32),
    /// It is, or may be, a child of an index or an artifact, which the documentation does not rank.
    Attached(u32),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "rule {rule} acts on it"),
            Self::NoRule => f.write_str("no rule is about it"),
            Self::WithinLimit(rule) => write!(f, "rule {rule} is about it and its limit is not reached"),
            Self::Shielded { by, from } => {
                write!(f, "rule {by} is about it first and leaves it alone; rule {from} would act on it")
            }
            Self::Follows(rule) => write!(f, "it goes with its index or subject, which rule {rule} acts on"),
            Self::Tie(rule) => write!(f, "the limit of rule {rule} falls between images of the same time"),
            Self::Attached(rule) => write!(
                f,
                "rule {rule} may act on it: images of an index, or attached to another image, count in one reading of \
                 the documentation and not in the other"
            ),
        }
    }
}

/// What a policy would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// One for each image, in the order of the images.
    pub verdicts: Vec<Verdict>,
}

impl Simulation {
    /// Indices of the images that may be deleted: those that are, and the uncertain ones.
    pub fn endangered(&self) -> impl Iterator<Item = usize> {
        let is_endangered = |verdict: &Verdict| matches!(verdict.fate, Fate::Expire(_) | Fate::Uncertain(_));
        self.verdicts.iter().enumerate().filter(move |(_, verdict)| is_endangered(verdict)).map(|(at, _)| at)
    }
}

/// Which images a rule ranks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ranked {
    /// All that it is about.
    All,
    /// Those that belong to no other.
    Free,
}

/// Which of several images of the same time, at a limit, are acted on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ties {
    None,
    All,
}

/// What an image belongs to.
enum Owner {
    /// Nothing.
    Nobody,
    /// These images, by index.
    Images(Vec<u32>),
    /// Perhaps to any of the indexes that were not read.
    Unread,
}

/// A rule with the images that its selection matches, in their order.
struct Matched<'a> {
    rule: &'a Rule,
    images: Vec<u32>,
}

/// Images are numbered by their rank, the youngest first, so that whatever goes through them in their order finds them side
/// by side in memory: of rules times images, that is most of the time.
struct Repository<'a> {
    images: Vec<&'a ImageFacts>,
    /// The time of each that ranks it; none is later than the one before it.
    times: Vec<Timestamp>,
    owners: Vec<Owner>,
    /// Artifact to the image that it is about, where both are here.
    subjects: HashMap<u32, u32>,
    /// Indexes whose content is not known.
    unread: Vec<u32>,
    rules: Vec<Matched<'a>>,
    now: Timestamp,
}

/// Evaluates `policy` on the images of one repository at the time `now`.
///
/// Takes time in proportion to rules times images.
#[must_use]
pub fn simulate(policy: &LifecyclePolicy, images: &[ImageFacts], now: Timestamp) -> Simulation {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(images[at].rank_time()));
    let repository = Repository::new(policy, images, &order, now);
    let some_belong = repository.owners.iter().any(|owner| !matches!(owner, Owner::Nobody));
    let mut readings = Vec::new();
    for ranked in [Some(Ranked::All), some_belong.then_some(Ranked::Free)].into_iter().flatten() {
        let (acts, tied) = repository.read(ranked, Ties::None);
        let both = tied.then(|| repository.read(ranked, Ties::All).0);
        for acts in [Some(acts), both].into_iter().flatten() {
            if some_belong {
                readings.push(repository.held(&acts));
            }
            // As any other image, whatever it belongs to.
            if ranked == Ranked::All {
                readings.push(repository.followed(&acts));
            }
        }
    }
    let first = repository.first_matches();
    let mut verdicts = vec![Verdict { fate: Fate::Keep, why: Why::NoRule }; images.len()];
    for (rank, at) in order.into_iter().enumerate() {
        verdicts[at] = repository.verdict(rank, &readings, first[rank]);
    }
    Simulation { verdicts }
}

/// The rule, by index, that acts on each image.
type Acts = Vec<Option<u8>>;

impl<'a> Repository<'a> {
    /// `order` has the place of each image in the listing, the youngest first.
    fn new(policy: &'a LifecyclePolicy, listing: &'a [ImageFacts], order: &[usize], now: Timestamp) -> Self {
        let images: Vec<&ImageFacts> = order.iter().map(|&at| &listing[at]).collect();
        let mut rules: Vec<_> = policy
            .rules()
            .iter()
            .map(|rule| (rule.tags.globs(), Matched { rule, images: Vec::with_capacity(images.len()) }))
            .collect();
        for (at, image) in (0..).zip(&images) {
            for (globs, matched) in &mut rules {
                if is_about(matched.rule, globs, image) {
                    matched.images.push(at);
                }
            }
        }
        let rules = rules.into_iter().map(|(_, matched)| matched).collect();
        let mut listed = vec![0; images.len()];
        for (rank, &at) in (0..).zip(order) {
            listed[at] = rank;
        }
        let (owners, subjects, unread) = owners(listing, &listed);
        let times = images.iter().map(|image| image.rank_time()).collect();
        Self { images, times, owners, subjects, unread, rules, now }
    }

    /// For each image, the index of the first rule that is about it, and of the first later one that would act on it.
    fn first_matches(&self) -> Vec<(Option<u8>, Option<u8>)> {
        let mut found = vec![(None, None); self.images.len()];
        for (index, matched) in (0..).zip(&self.rules) {
            let (acted, _) = self.candidates(matched, &matched.images, Ties::All);
            for &at in &matched.images {
                found[at as usize].0.get_or_insert(index);
            }
            for at in acted {
                let (first, later) = &mut found[at as usize];
                if *first != Some(index) {
                    later.get_or_insert(index);
                }
            }
        }
        found
    }

    /// The images of `ranked` that the rule's count reaches, and whether a tie made a difference.
    fn candidates(&self, matched: &Matched<'_>, ranked: &[u32], ties: Ties) -> (Vec<u32>, bool) {
        let time = |at: u32| self.times[at as usize];
        let older = |than: Timestamp, days: u32| {
            self.now.duration_since(than) > SignedDuration::from_hours(24 * i64::from(days))
        };
        let aged = |days: u32, of: fn(&ImageFacts) -> Timestamp| {
            ranked.iter().copied().filter(|&at| older(of(self.images[at as usize]), days)).collect()
        };
        match matched.rule.count {
            Count::MoreThan(most) => {
                let most = most as usize;
                let Some(&limit) = ranked.get(most) else { return (Vec::new(), false) };
                if time(ranked[most - 1]) != time(limit) {
                    return (ranked[most..].to_vec(), false);
                }
                let from = match ties {
                    Ties::All => ranked.partition_point(|&at| time(at) > time(limit)),
                    Ties::None => ranked.partition_point(|&at| time(at) >= time(limit)),
                };
                (ranked[from..].to_vec(), true)
            }
            Count::DaysSincePushed(days) => (aged(days, |image| image.pushed_at), false),
            Count::DaysSincePulled(days) => (aged(days, ImageFacts::pull_time), false),
            Count::DaysSinceTransitioned(days) => (aged(days, ImageFacts::rank_time), false),
        }
    }

    /// What each rule acts on in one reading, with nothing held or taken along; whether ties made a difference.
    fn read(&self, ranked: Ranked, ties: Ties) -> (Acts, bool) {
        let mut acts: Acts = vec![None; self.images.len()];
        let mut seen = vec![false; self.images.len()];
        let mut tied = false;
        for (index, matched) in (0..).zip(&self.rules) {
            let is_free = |at: &u32| matches!(self.owners[*at as usize], Owner::Nobody);
            let images = match ranked {
                Ranked::All => Cow::Borrowed(&matched.images),
                Ranked::Free => Cow::Owned(matched.images.iter().copied().filter(is_free).collect()),
            };
            let (candidates, made_difference) = self.candidates(matched, &images, ties);
            tied |= made_difference;
            for at in candidates {
                if !seen[at as usize] {
                    acts[at as usize] = Some(index);
                }
            }
            for &at in images.iter() {
                seen[at as usize] = true;
            }
        }
        (acts, tied)
    }

    /// The acts after artifacts have gone with their subjects, which the guide says in so many words.
    fn followed(&self, acts: &Acts) -> Acts {
        let follow = |at: usize| acts[at].or_else(|| acts[*self.subjects.get(&u32::try_from(at).ok()?)? as usize]);
        (0..acts.len()).map(follow).collect()
    }

    /// The acts after what stays has held what it refers to, and what goes has taken along what nothing else holds.
    fn held(&self, acts: &Acts) -> Acts {
        /// Deeper nesting of indexes than any registry takes.
        const PASSES: usize = 16;

        let mut now = acts.clone();
        for _ in 0..PASSES {
            let next: Acts = (0..acts.len())
                .map(|at| {
                    let owners = match &self.owners[at] {
                        Owner::Nobody => return acts[at],
                        Owner::Images(owners) => owners,
                        Owner::Unread => &self.unread,
                    };
                    let first = now[*owners.first()? as usize];
                    let all_go = owners.iter().all(|&owner| now[owner as usize].is_some());
                    if all_go { acts[at].or(first) } else { None }
                })
                .collect();
            if next == now {
                break;
            }
            now = next;
        }
        now
    }

    fn verdict(&self, at: usize, readings: &[Acts], first: (Option<u8>, Option<u8>)) -> Verdict {
        let rule_of = |index: u8| self.rules[usize::from(index)].rule;
        let priority = |index: u8| rule_of(index).priority;
        let acts: Vec<Option<u8>> = readings.iter().map(|acts| acts[at]).collect();
        let some = acts.iter().flatten().next().copied();
        let is_certain =
            acts.iter().all(|act| act.map(|act| rule_of(act).action) == acts[0].map(|act| rule_of(act).action));
        let is_free = matches!(self.owners[at], Owner::Nobody);
        match (some, is_certain) {
            (Some(rule), false) => {
                let why = if is_free { Why::Tie(priority(rule)) } else { Why::Attached(priority(rule)) };
                Verdict { fate: Fate::Uncertain(priority(rule)), why }
            }
            (Some(rule), true) => {
                let fate = match rule_of(rule).action {
                    Action::Expire => Fate::Expire(priority(rule)),
                    Action::Archive => Fate::Archive(priority(rule)),
                };
                let follows = first.0 != Some(rule) && !is_free;
                let why = if follows { Why::Follows(priority(rule)) } else { Why::Rule(priority(rule)) };
                Verdict { fate, why }
            }
            (None, _) => {
                let why = match first {
                    (None, _) => Why::NoRule,
                    (Some(by), Some(from)) => Why::Shielded { by: priority(by), from: priority(from) },
                    (Some(by), None) => Why::WithinLimit(priority(by)),
                };
                Verdict { fate: Fate::Keep, why }
            }
        }
    }
}

fn is_about(rule: &Rule, globs: &[TagGlob], image: &ImageFacts) -> bool {
    rule.storage == image.storage
        && match &rule.tags {
            TagSelection::Any => true,
            TagSelection::Untagged => image.tags.is_empty(),
            TagSelection::Patterns(_) | TagSelection::Prefixes(_) => {
                globs.iter().all(|glob| image.tags.iter().any(|tag| glob.matches(tag)))
            }
        }
}

/// What each image belongs to, the subjects of artifacts, and the indexes that were not read. `ranks` has the number of each
/// image of the listing; owners are in the listing's order.
///
/// A tagged image that no known index lists is taken to stand for itself: that can only make the simulation delete more.
fn owners(listing: &[ImageFacts], ranks: &[u32]) -> (Vec<Owner>, HashMap<u32, u32>, Vec<u32>) {
    let listed = || ranks.iter().copied().zip(listing);
    let by_digest: HashMap<&str, u32> = listed().map(|(at, image)| (image.digest.as_str(), at)).collect();
    let mut owners: Vec<Owner> = listing.iter().map(|_| Owner::Nobody).collect();
    let (mut subjects, mut unread) = (HashMap::new(), Vec::new());
    let mut add = |at: u32, owner: u32| match &mut owners[at as usize] {
        Owner::Images(known) => known.push(owner),
        other => *other = Owner::Images(vec![owner]),
    };
    for (at, image) in listed() {
        match &image.children {
            Children::None => (),
            Children::Unknown => unread.push(at),
            Children::Known(children) => {
                let present = children.iter().filter_map(|child| by_digest.get(child.as_str()));
                present.filter(|&&child| child != at).for_each(|&child| add(child, at));
            }
        }
        if let Some(&subject) = image.subject.as_deref().and_then(|subject| by_digest.get(subject))
            && subject != at
        {
            add(at, subject);
            subjects.insert(at, subject);
        }
    }
    if !unread.is_empty() {
        for (at, image) in listed() {
            let owner = &mut owners[at as usize];
            let may_be_child = image.tags.is_empty() && image.children == Children::None;
            if may_be_child && matches!(owner, Owner::Nobody) {
                *owner = Owner::Unread;
            }
        }
    }
    (owners, subjects, unread)
}
