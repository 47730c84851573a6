//! The stale-cache model: whatever happens between two runs, without any pause, a run with the cache and one without it
//! find the same. (`SHIPPER_MODEL_STEPS` sets how many steps; `cargo xtask soak` takes many.)

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proptest::prelude::*;
use shipper_hash::{ContextHash, FileSet, Selection, Tree, TreeOptions, Untracked};

use crate::project::Project;

/// Steps between a fresh repository and the next.
const STEPS_OF_A_CASE: usize = 100;

/// Places in the model, few enough that steps meet: files, directories and links change places.
const PLACES: [&str; 9] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f/a", "f"];
const IGNORED: [&str; 5] = ["", "a", "/d/", "*.x\n!a", "e/\nb"];

/// What can happen between two runs.
#[derive(Clone, Debug)]
enum Step {
    /// A new file in the place of what is there.
    Write(usize, u8),
    /// The same inode with other bytes and, as `touch -r` does, the old modification time.
    Rewrite(usize, u8),
    Rename(usize, usize),
    Chmod(usize, bool),
    Remove(usize),
    Link(usize, usize),
    MakeDirectory(usize),
    /// Sets the modification time of a directory or file back to that of another.
    Touch(usize, usize),
    Ignore(usize, usize),
    Add(usize),
    Unadd(usize),
    Assume(usize),
    Commit,
    Checkout(usize),
    /// Puts an earlier state of the cache in the place of the present one.
    OldCache(usize),
    Hash(usize),
    /// Reads only a part, which is what the cache then knows best.
    HashPart(usize),
    /// A step after which all directories get back the modification times that they had.
    Quietly(Box<Step>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![6 => plain_step(), 1 => plain_step().prop_map(|step| Step::Quietly(Box::new(step)))]
}

fn plain_step() -> impl Strategy<Value = Step> {
    let place = 0..PLACES.len();
    let pair = (place.clone(), place.clone());
    prop_oneof![
        6 => (place.clone(), 0..3_u8).prop_map(|(place, byte)| Step::Write(place, byte)),
        6 => (place.clone(), 0..3_u8).prop_map(|(place, byte)| Step::Rewrite(place, byte)),
        4 => pair.clone().prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (place.clone(), any::<bool>()).prop_map(|(place, executable)| Step::Chmod(place, executable)),
        3 => place.clone().prop_map(Step::Remove),
        2 => pair.clone().prop_map(|(place, target)| Step::Link(place, target)),
        2 => place.clone().prop_map(Step::MakeDirectory),
        3 => pair.prop_map(|(place, other)| Step::Touch(place, other)),
        1 => (place.clone(), 0..IGNORED.len()).prop_map(|(place, rules)| Step::Ignore(place, rules)),
        2 => place.clone().prop_map(Step::Add),
        1 => place.clone().prop_map(Step::Unadd),
        1 => place.clone().prop_map(Step::Assume),
        1 => Just(Step::Commit),
        1 => (0..4_usize).prop_map(Step::Checkout),
        3 => (0..8_usize).prop_map(Step::OldCache),
        14 => (0..3_usize).prop_map(Step::Hash),
        2 => place.prop_map(Step::HashPart),
    ]
}

/// A repository with the states that its cache had.
struct Model {
    project: Project,
    cache: PathBuf,
    old: Vec<Vec<u8>>,
    commits: Vec<String>,
    /// Files whose digest came from the cache, so that it is known that the model is about something.
    cached: usize,
}

impl Model {
    fn new() -> Self {
        let project = Project::git();
        for (place, content) in [("a", "1"), ("d/a", "2"), ("d/e/a", "3"), ("f/a", "4")] {
            project.write(place, content);
        }
        project.run(&["add", "-A"]).run(&["commit", "-q", "-m", "first"]);
        let cache = project.beside("files");
        let mut model = Self { project, cache, old: Vec::new(), commits: Vec::new(), cached: 0 };
        model.note_commit();
        model
    }

    fn note_commit(&mut self) {
        let head = self.project.output(&["rev-parse", "HEAD"]);
        self.commits.push(String::from_utf8(head).unwrap().trim().to_owned());
    }

    fn place(&self, place: usize) -> PathBuf {
        self.project.path().join(PLACES[place])
    }

    /// What git refuses is no step.
    fn try_git(&self, arguments: &[&str]) {
        let _ = self.project.try_git(arguments);
    }

    /// Steps that cannot be done where the model stands are passed over.
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Write(place, byte) => {
                let path = self.place(place);
                clear(&path);
                let _ = path.parent().map(std::fs::create_dir_all);
                let _ = std::fs::write(path, [byte]);
            }
            Step::Rewrite(place, byte) => {
                let path = self.place(place);
                if let Some(modified) = modified(&path, std::fs::Metadata::is_file) {
                    std::fs::write(&path, [byte]).unwrap();
                    File::open(&path).unwrap().set_modified(modified).unwrap();
                }
            }
            Step::Rename(from, to) => {
                let _ = std::fs::rename(self.place(from), self.place(to));
            }
            Step::Chmod(place, executable) => {
                if modified(&self.place(place), std::fs::Metadata::is_file).is_some() {
                    self.project.chmod(PLACES[place], if executable { 0o755 } else { 0o644 });
                }
            }
            Step::Remove(place) => clear(&self.place(place)),
            Step::Link(place, target) => {
                let path = self.place(place);
                clear(&path);
                let _ = std::os::unix::fs::symlink(PLACES[target], path);
            }
            Step::MakeDirectory(place) => {
                let _ = std::fs::create_dir_all(self.place(place));
            }
            Step::Touch(place, other) => {
                let is_plain = |metadata: &std::fs::Metadata| !metadata.is_symlink();
                if let Some(time) = modified(&self.place(other), is_plain)
                    && modified(&self.place(place), is_plain).is_some()
                {
                    File::open(self.place(place)).unwrap().set_modified(time).unwrap();
                }
            }
            Step::Ignore(place, rules) => {
                if modified(&self.place(place), std::fs::Metadata::is_dir).is_some() {
                    let file = self.place(place).join(".gitignore");
                    clear(&file);
                    std::fs::write(file, IGNORED[rules]).unwrap();
                }
            }
            Step::Add(place) => self.try_git(&["add", "-f", "--", PLACES[place]]),
            Step::Unadd(place) => {
                self.try_git(&["rm", "-q", "-r", "--cached", "--", PLACES[place]]);
            }
            Step::Assume(place) => {
                self.try_git(&["update-index", "--assume-unchanged", "--", PLACES[place]]);
            }
            Step::Commit => {
                if self.project.try_git(&["commit", "-q", "--allow-empty", "-m", "next"]) {
                    self.note_commit();
                }
            }
            Step::Checkout(number) => {
                let commit = &self.commits[number % self.commits.len()];
                self.try_git(&["checkout", "-q", "-f", "--detach", commit]);
            }
            Step::OldCache(number) => {
                if let Some(old) = self.old.get(number) {
                    std::fs::write(&self.cache, old).unwrap();
                }
            }
            Step::Hash(policy) => self.compare(policy),
            Step::HashPart(place) => self.hash_part(place),
            Step::Quietly(ref step) => {
                let directories = || PLACES.iter().map(|place| self.project.path().join(place));
                let root = self.project.path().to_owned();
                let before: Vec<_> = directories()
                    .chain([root])
                    .filter_map(|path| Some((modified(&path, std::fs::Metadata::is_dir)?, path)))
                    .collect();
                self.take(step);
                for (time, path) in before {
                    if modified(&path, std::fs::Metadata::is_dir).is_some() {
                        File::open(path).unwrap().set_modified(time).unwrap();
                    }
                }
            }
        }
    }

    /// A run with the cache against one without.
    fn compare(&mut self, policy: usize) {
        let (files, untracked) = [
            (FileSet::Tracked, Untracked::Include),
            (FileSet::Tracked, Untracked::Ignore),
            (FileSet::Worktree, Untracked::Include),
        ][policy]
            .clone();
        let hash = |cache: Option<PathBuf>| -> (ContextHash, usize) {
            let options = TreeOptions { cache, untracked, ..TreeOptions::default() };
            let tree = Tree::open(self.project.path(), &options).unwrap();
            let mut context = tree.context(None).unwrap();
            context.add(&Selection { files: files.clone(), ..Selection::default() }).unwrap();
            let context = context.finish().unwrap();
            tree.save_cache().unwrap();
            (context.hash(), tree.stats().cached)
        };
        let (found, cached) = hash(Some(self.cache.clone()));
        assert_eq!(found, hash(None).0);
        self.cached += cached;
        self.keep_cache();
    }

    fn hash_part(&mut self, place: usize) {
        let options = TreeOptions { cache: Some(self.cache.clone()), ..TreeOptions::default() };
        let tree = Tree::open(self.project.path(), &options).unwrap();
        let mut context = tree.context(None).unwrap();
        if context.add_path(&crate::project::path(PLACES[place])).is_ok() {
            context.finish().unwrap();
        }
        tree.save_cache().unwrap();
        self.keep_cache();
    }

    fn keep_cache(&mut self) {
        if self.old.len() < 8
            && let Ok(content) = std::fs::read(&self.cache)
        {
            self.old.push(content);
        }
    }
}

fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path).unwrap(),
        Ok(_) => std::fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn modified(path: &Path, wanted: impl Fn(&std::fs::Metadata) -> bool) -> Option<SystemTime> {
    let metadata = path.symlink_metadata().ok().filter(wanted)?;
    metadata.modified().ok()
}

fn cases() -> u32 {
    let asked = std::env::var("SHIPPER_MODEL_STEPS").ok().and_then(|steps| steps.parse().ok());
    u32::try_from(asked.unwrap_or(5_000_usize).div_ceil(STEPS_OF_A_CASE)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// G1 for the cache.
    #[test]
    fn the_cache_never_shows(steps in prop::collection::vec(step(), STEPS_OF_A_CASE)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.compare(0);
        model.compare(2);
        prop_assert!(model.cached > 0, "no digest came from the cache: the model tests nothing");
    }
}
