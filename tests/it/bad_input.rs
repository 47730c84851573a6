//! Wrong input gets a clear error, a hint, the right exit code, and changes nothing.

use crate::support::{Project, TWO_SERVICES};

/// Runs `arguments` in a project with `config` and checks what is said and returned, and that nothing was written.
#[track_caller]
fn check(config: &str, arguments: &[&str], code: i32, says: &[&str]) {
    let project = Project::new(config);
    for path in ["docs/a", "site/a", "shared/a"] {
        project.repo.write(path, path);
    }
    let mut ran = project.run(arguments).exits(code);
    for needle in says {
        ran = ran.says(needle);
    }
    assert!(!project.path().join(".shipper/images").exists(), "something was written");
    assert!(!project.path().join("shipper.lock").exists(), "a lock was written");
}

#[test]
fn a_place_without_services_says_so() {
    let project = Project::new("");
    project.repo.write("Cargo.toml", "[package\n");
    project.run(["ship"]).ok().says("has no services");
    project.run(["plan"]).ok().says("no Cargo binary or Dockerfile that can be read");
}

#[test]
fn a_configuration_that_makes_no_sense_is_a_usage_error() {
    let usage = |config: &str, says: &[&str]| check(config, &["ship"], 2, says);
    usage("[project]\nregisrty = 'x'", &["unknown field `regisrty`", "hint: did you mean `registry`?"]);
    usage("[service.a]\nfiles = { '/a' = 'docs' }\nneeds = { b = 'a' }", &["cannot order the services", "a -> a"]);
    usage(
        "[service.a]\nfiles = { '/a' = 'docs' }\nneeds = { b = 'b' }\n[service.b]\nfiles = { '/a' = 'docs' }\nneeds = { a = 'a' }",
        &["a -> b -> a is a cycle", "hint: remove one of the `needs`"],
    );
    usage("[service.a]\nfiles = {}", &["use `service.a`: the service says nothing", "hint: give it `cargo`"]);
    usage("[service.a]\nfiles = { '/a' = 'nowhere' }", &["cannot find `nowhere` of `a`: it does not exist", "hint:"]);
    usage("[service.a]\ncargo = { package = 'nothing' }", &["cannot hash the context of `a`", "nothing"]);
}

#[test]
fn a_service_that_does_not_exist_is_named_with_the_nearest() {
    check(TWO_SERVICES, &["ship", "doc"], 2, &["cannot find service `doc`", "hint: did you mean `docs`?"]);
    check(TWO_SERVICES, &["plan", "zzzzzz"], 2, &["hint: the services are docs, site"]);
}

#[test]
fn a_registry_that_can_not_be_reached_is_no_verdict() {
    // Port 1 of loopback: nothing listens there.
    check(TWO_SERVICES, &["plan", "--registry", "127.0.0.1:1"], 3, &["cannot look up", "127.0.0.1:1"]);
    check(TWO_SERVICES, &["ship", "--registry", "127.0.0.1:1"], 3, &["cannot look up", "127.0.0.1:1"]);
}

#[test]
fn a_registry_that_is_none_is_a_usage_error() {
    check(TWO_SERVICES, &["plan", "--registry", "ftp://x"], 2, &["ftp://x", "(flag)"]);
}

#[test]
fn an_ignored_directory_is_an_error_that_says_how_to_include_it() {
    let project = Project::new("[service.a]\nfiles = { '/a' = 'dist' }");
    project.repo.write(".gitignore", "dist\n");
    project.repo.write("dist/app.js", "x");
    project.run(["ship"]).exits(2).says("no files that git tracks").says("inputs = [\"dist/**\"]");
    project.repo.write("shipper.toml", "[service.a]\nfiles = { '/a' = 'dist' }\ninputs = ['dist/**']");
    project.ship();
}

#[test]
fn a_failing_check_stops_its_service_and_no_other() {
    let project = Project::two_services();
    let config = format!("{TWO_SERVICES}check = [[\"sh\", \"-c\", \"echo broken; exit 3\"]]\n");
    project.repo.write("shipper.toml", config);
    project.run(["ship"]).exits(4).says("1 built, 1 failed").says("cannot check `site`").says("broken");
    assert_eq!(project.due().keys().collect::<Vec<_>>(), ["site"]);
}

#[test]
fn an_unwritable_layout_is_an_error_and_not_a_success() {
    let project = Project::two_services();
    project.repo.write("file", "");
    let registry = format!("oci:{}", project.path().join("file/images").display());
    project.run(["ship", "--registry", &registry]).exits(3).says("file/images");
}

#[test]
fn a_directory_that_does_not_exist_is_a_usage_error() {
    let project = Project::two_services();
    project.run(["-C", "nowhere", "plan"]).exits(2).says("cannot read nowhere");
}

#[test]
#[cfg(unix)]
fn a_special_file_in_a_context_is_an_error_and_not_a_hang() {
    let project = Project::two_services();
    let made = |program: &str, arguments: &[&str]| {
        let status = std::process::Command::new(program).current_dir(project.path()).args(arguments).status();
        status.expect("it runs").success()
    };
    let refused = |what: &str| {
        for command in [["plan", "docs"], ["hash", "docs"]] {
            let ran = project.run(command).exits(2).says(&format!("it is a {what}"));
            assert!(ran.stderr.contains("odd") && ran.stderr.contains("hint: remove it"), "{}", ran.stderr);
        }
        std::fs::remove_file(project.path().join("docs/odd")).expect("removes");
    };
    assert!(made("mkfifo", &["docs/odd"]));
    refused("FIFO");
    let socket = std::os::unix::net::UnixListener::bind(project.path().join("docs/odd")).expect("a socket");
    refused("socket");
    drop(socket);
    // Only root may make one, and not in every container.
    if made("mknod", &["docs/odd", "c", "1", "5"]) {
        refused("character device");
    }
    project.run(["hash", "./docs"]).ok();
}

#[test]
#[cfg(unix)]
fn an_unreadable_file_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let setpriv = shipper_testkit::need!(shipper_testkit::require_tool("setpriv"));
    let project = Project::two_services();
    let mode = |path: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(project.path().join(path), permissions).expect("sets the mode");
    };
    // Root reads everything, unless it may not.
    let is_root = std::process::Command::new("id").arg("-u").output().expect("id runs").stdout == b"0\n";
    let run = |arguments: &[&str]| {
        let inner = project.command(arguments);
        if !is_root {
            return project.run(arguments);
        }
        let mut command = std::process::Command::new(&setpriv);
        command.arg("--bounding-set=-dac_override,-dac_read_search").arg(inner.get_program()).args(inner.get_args());
        command.current_dir(project.path());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        crate::support::Ran::of(&command.output().expect("setpriv starts"))
    };
    for (path, what) in [("docs/index.md", "docs/index.md"), ("docs", "docs")] {
        mode(path, 0);
        let ran = run(&["plan", "docs"]);
        mode(path, 0o755);
        let ran = ran.exits(2).says("Permission denied").says(what).says("hint: make it readable");
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    }
    // What no context has does not matter.
    project.repo.write(".gitignore", "secret\n");
    project.repo.write("docs/secret", "x");
    mode("docs/secret", 0);
    run(&["plan", "docs"]).ok();
}

#[test]
#[cfg(unix)]
fn a_file_that_changes_while_it_is_read_is_no_hash() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let project = Project::two_services();
    let path = project.path().join("docs/growing");
    let file = std::fs::File::create(&path).expect("creates");
    // Reading it takes long enough for a writer to come in between.
    file.set_len(96 << 20).expect("grows");
    let stop = AtomicBool::new(false);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt as _;
            while !stop.load(Ordering::Relaxed) {
                file.write_all_at(b"x", 0).expect("writes");
                std::thread::yield_now();
            }
        });
        let refused = loop {
            let ran = project.run(["hash", "./docs"]);
            if ran.code != Some(0) || std::time::Instant::now() > deadline {
                break ran;
            }
        };
        stop.store(true, Ordering::Relaxed);
        let ran = refused.exits(2).says("growing").says("it changes while it is read").says("hint: wait until nothing");
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    });
    project.run(["hash", "./docs"]).ok();
}

#[test]
#[cfg(unix)]
fn a_link_out_of_the_context_is_hashed_as_text_and_warned_of() {
    let project = Project::two_services();
    project.repo.symlink("../../outside", "docs/link");
    let (with, listed) = (project.run(["hash", "./docs"]).ok(), project.run(["hash", "./docs", "--list"]).ok());
    let warned = with.says("the link `link` points to `../../outside`, outside the context");
    assert!(listed.stdout.contains(" symlink 13 link\n"), "{}", listed.stdout);
    // The text counts, and nothing behind it.
    project.repo.remove("docs/link");
    project.repo.symlink("../../outsidf", "docs/link");
    assert_ne!(project.run(["hash", "./docs"]).ok().stdout, warned.stdout);
    project.ship().says("outside the context");
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_one_where_case_makes_no_difference_are_warned_of() {
    let project = Project::two_services();
    project.repo.write("docs/INDEX.md", "other");
    project.repo.write("docs/Img/a.png", "1");
    project.repo.write("docs/img/b.png", "2");
    let ran = project.run(["hash", "./docs"]).ok();
    ran.says("`index.md` and `INDEX.md` are one file where case makes no difference, and 1 more pairs are");
}

#[test]
fn an_ignore_file_that_makes_no_sense_is_named_with_its_line() {
    let project = Project::new("[service.a]\ndockerfile = 'a/Dockerfile'\n");
    project.repo.write("a/Dockerfile", "FROM scratch\nCOPY . /\n");
    for (path, rules, says) in [
        (".dockerignore", "# one\nok\n[a\n", "line 3"),
        (".dockerignore", "ok\n!\n", "line 2"),
        ("a/Dockerfile.dockerignore", "x\n\n\na[]\n", "line 4"),
    ] {
        project.repo.write(path, rules);
        for command in [
            ["plan"].as_slice(),
            &["ship"],
            &["hash", "."],
            &["hash", "a"],
            &["hash", ".", "--dockerfile", "a/Dockerfile"],
        ] {
            let of_directory = command == ["hash", "a"] || path.starts_with("a/") && command == ["hash", "."];
            if !of_directory {
                project.run(command.iter().copied()).exits(2).says(path).says(says);
            }
        }
        project.repo.remove(path);
    }
    assert!(!project.path().join(".shipper/images").exists(), "something was written");
}

#[test]
fn a_dockerfile_that_does_not_parse_is_named_with_its_line() {
    let project = Project::new("[service.a]\ndockerfile = 'Dockerfile'\n");
    for (dockerfile, says) in [
        ("FROM scratch\nCOPY a\n", "line 2"),
        ("COPY a b\n", "line 1"),
        ("FROM scratch\n\nRUN <<E\nx\n", "line 3"),
        ("", "Dockerfile"),
    ] {
        project.repo.write("Dockerfile", dockerfile);
        for command in ["plan", "ship"] {
            project.run([command]).exits(2).says("read Dockerfile of `a`").says(says);
        }
        project.run(["hash", ".", "--dockerfile", "Dockerfile"]).exits(2).says("read Dockerfile of `.`").says(says);
    }
    assert!(!project.path().join(".shipper/images").exists(), "something was written");
}

#[test]
fn untracked_files_are_refused_in_ci() {
    let mut project = Project::two_services();
    let mut plan = project.command(["plan"]);
    assert!(plan.env("CI", "true").status().expect("starts").success());
    project.repo.write("docs/new", "x");
    let mut plan = project.command(["plan"]);
    let ran = crate::support::Ran::of(&plan.env("CI", "true").output().expect("starts"));
    ran.exits(2).says("docs/new");
    project.repo.commit("new");
    assert!(project.command(["plan"]).env("CI", "true").status().expect("starts").success());
}

#[test]
fn what_an_image_can_not_hold_is_refused() {
    let usage = |line: &str, says: &[&str]| {
        check(&format!("[service.a]\nfiles = {{ '/a' = 'docs' }}\n{line}"), &["ship"], 2, says);
    };
    usage("env = { 'A B' = 'x' }", &["`service.a.env`: `A B` can not be a variable", "hint: names have no spaces"]);
    usage("workdir = 'srv'", &["`srv` is no absolute path in the image", "hint: write `/srv`"]);
    usage("env = { A = \"x\\u0000\" }", &["`service.a.env`: the value of `A` has a NUL character"]);
    for (user, unknown) in [
        ("www-data", "the user `www-data`"),
        ("1000:www-data", "the group `www-data`"),
        ("nonroot:staff", "the group `staff`"),
        ("4294967295", "the user `4294967295`"),
        ("0:2147483648", "the group `2147483648`"),
    ] {
        let unknown = format!("an image from scratch does not know {unknown}");
        usage(&format!("user = '{user}'"), &[&unknown, "hint: write numbers"]);
    }
    for user in ["", "1:2:3", ":0", "a b"] {
        usage(&format!("user = '{user}'"), &["is no user", "hint: write `user` or `user:group`"]);
    }
    usage("env = { API_TOKEN = 'x' }", &["`API_TOKEN` is a credential by its name", "hint: give it to a step by"]);
}

#[test]
fn users_that_an_image_from_scratch_knows_are_taken() {
    for (user, files) in [
        ("0", "'/a' = 'docs'"),
        ("nobody:nonroot", "'/a' = 'docs'"),
        ("www-data", "'/etc/passwd' = 'docs/a'"),
        ("www-data:www-data", "'/etc' = 'docs'"),
        ("2147483647:staff", "'/etc/group' = 'docs/a'"),
    ] {
        let project = Project::new(&format!("[service.a]\nuser = '{user}'\nfiles = {{ {files} }}"));
        project.repo.write("docs/a", "a");
        project.ship();
    }
}

#[test]
fn two_sources_of_one_image_path_are_both_named() {
    let project = Project::new("[service.a]\nfiles = { '/srv' = 'docs', '/srv/a' = 'site/a' }");
    project.repo.write("docs/a", "docs");
    project.repo.write("site/a", "site");
    project.run(["ship"]).exits(4).says("`/srv/a` would come from `docs` and from `site/a`");
}

#[test]
fn a_file_in_the_place_of_a_directory_of_the_image_is_refused() {
    for (path, other) in [("/etc", "/etc/group"), ("/tmp", "/tmp"), ("/home/nonroot", "/home/nonroot")] {
        let project = Project::new(&format!("[service.a]\nfiles = {{ '{path}' = 'docs/a' }}"));
        project.repo.write("docs/a", "docs");
        project.run(["ship"]).exits(4).says(&format!("`{path}` and `{other}` cannot both be in an image"));
    }
    let project = Project::new("[service.a]\nfiles = { '/etc/passwd' = 'docs' }");
    project.repo.write("docs/a", "docs");
    project.run(["ship"]).exits(4).says("`/etc/passwd` and `/etc/passwd` cannot both be in an image");
}

#[test]
fn a_platform_that_nothing_is_assembled_for_is_told_by_plan() {
    for platform in ["windows/amd64", "linux/mips64le", "linux/arm/v5"] {
        let project = Project::new(&format!("[service.a]\nfiles = {{ '/a' = 'docs' }}\nplatforms = ['{platform}']"));
        project.repo.write("docs/a", "docs");
        let told = project.run(["plan"]).exits(2);
        told.says(&format!("no image can be assembled for `{platform}`"))
            .says("linux/amd64, linux/arm/v6, linux/arm/v7");
    }
}

#[test]
fn places_of_other_tools_are_named_with_what_to_do() {
    let project = Project::two_services();
    for (place, said) in [
        ("https://ghcr.io/a/b:1", "leave everything up to `://` away"),
        ("docker://ghcr.io/a/b:1", "a registry is named without `docker://`"),
        ("dir:images", "`skopeo copy` makes an `oci:` layout of it"),
        ("containers-storage:localhost/a", "`skopeo copy` makes an `oci:` layout of it"),
    ] {
        project.run(["inspect", place]).exits(2).says(said);
    }
}

#[test]
fn a_pull_request_has_a_number() {
    Project::two_services().run(["tags", "--pr", "0"]).exits(2).says("0 is not in 1..");
}

#[test]
fn quiet_is_quiet() {
    let project = Project::two_services();
    let planned = project.run(["-q", "plan", "--check"]).exits(1);
    assert_eq!(planned.stdout + &planned.stderr, "");
    let shipped = project.run(["-q", "ship"]).ok();
    assert_eq!(shipped.stderr, "");
}

#[cfg(unix)]
#[test]
fn a_path_behind_a_link_names_the_link() {
    let project = Project::new("[service.a]\nfiles = { '/a' = 'link/inner' }\n");
    project.repo.write("real/inner/a", "a");
    std::os::unix::fs::symlink("real", project.path().join("link")).expect("links");
    project.run(["ship"]).exits(2).says("it lies behind a link").says("name what `link` stands for");
    // By itself it would be an image without a file.
    project.repo.write("shipper.toml", "[service.a]\nfiles = { '/a' = 'link' }\n");
    project.run(["plan"]).exits(2).says("it is a symbolic link").says("name what it stands for");
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_build_without_aws_says_so() {
    let project = Project::two_services();
    for arguments in [["ecr-ready", "--stack"], ["ecr", "lifecycle"]] {
        project.run(arguments).exits(2).says("this build of shipper leaves AWS out").says("hint: build it with");
    }
}
