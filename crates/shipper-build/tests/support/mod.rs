//! A small Cargo workspace, and a place to build it in.

#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use shipper_build::{
    AssembleRequest, BuildError, BuildLog, CargoRecipe, Environment, ImageOptions, LinkMode, Step, ToolchainFile,
    assemble, rustc_identity,
};
use shipper_oci::{BlobSource, Image, Platform, Store};

/// A log that remembers.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) steps: Mutex<Vec<Step>>,
}

impl BuildLog for Memory {
    fn line(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn step(&self, step: &Step) {
        self.steps.lock().unwrap().push(step.clone());
    }
}

/// A stage and a work directory.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) environment: Environment,
    pub(crate) log: Memory,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("stage")).unwrap();
        Place { dir, environment: Environment::of_process(), log: Memory::default() }
    }

    /// A package `app` that prints a greeting, in a workspace with nothing else.
    pub(crate) fn with_app(main: &str) -> Place {
        let place = Place::new();
        place.put("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        place.put("src/main.rs", main);
        place
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn stage(&self) -> PathBuf {
        self.dir.path().join("stage")
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        let path = self.stage().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) async fn recipe(&self) -> CargoRecipe {
        CargoRecipe {
            package: "app".to_owned(),
            bins: Vec::new(),
            profile: "release".to_owned(),
            features: Vec::new(),
            no_default_features: false,
            link: LinkMode::Static,
            rustflags: Vec::new(),
            env: BTreeMap::new(),
            workspace_root: PathBuf::new(),
            rustc: rustc_identity(toolchain().as_ref(), &Environment::of_process(), None).await.unwrap(),
            locked: Vec::new(),
        }
    }

    pub(crate) fn request(&self) -> AssembleRequest {
        AssembleRequest {
            service: "app".to_owned(),
            platform: Platform::host(),
            stage: self.stage(),
            work: self.dir.path().join("work"),
            cargo: None,
            binary: None,
            files: Vec::new(),
            image: ImageOptions::default(),
            present: Vec::new(),
            base: None,
            environment: self.environment.clone(),
        }
    }

    /// Builds the package as it is.
    pub(crate) async fn build(&self) -> Result<Image, BuildError> {
        self.build_with(|_| {}).await
    }

    pub(crate) async fn build_with(&self, change: impl FnOnce(&mut CargoRecipe)) -> Result<Image, BuildError> {
        let mut recipe = self.recipe().await;
        change(&mut recipe);
        let request = AssembleRequest { cargo: Some(recipe), ..self.request() };
        assemble(&request, &self.log).await
    }

    /// Puts an image into a layout of its own and gives its path.
    pub(crate) async fn store(&self, image: &Image, tag: &str) -> PathBuf {
        let store = Store::layout(self.dir.path().join("images"));
        let repository = store.repository(&"app".parse().unwrap());
        for layer in &image.layers {
            repository.push_blob(&layer.descriptor, BlobSource::File(layer.path.clone())).await.unwrap();
        }
        repository.push_blob(&image.config, BlobSource::Bytes(image.config_bytes.clone().into())).await.unwrap();
        repository.put_manifest(&image.manifest, Some(&tag.parse().unwrap())).await.unwrap();
        self.dir.path().join("images/app")
    }

    pub(crate) fn lines(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }
}

/// The toolchain that runs this test, as if the repository asked for it.
pub(crate) fn toolchain() -> Option<ToolchainFile> {
    let name = std::env::var("RUSTUP_TOOLCHAIN").ok()?;
    ToolchainFile::parse("rust-toolchain", name.as_bytes()).ok()
}
