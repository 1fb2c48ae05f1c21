//! A `config.json` for one run, out of the user's OCI bundle.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::container::ContainerName;
use super::error::BundleError;

const CONFIG: &str = "config.json";
const CONFIG_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The user's OCI bundle: a directory with a `config.json`. It is read, and never changed.
#[derive(Debug, Clone)]
pub struct OciBundle {
    path: PathBuf,
    config: Map<String, Value>,
}

/// What a run's own `config.json` has beyond the user's.
#[derive(Debug, Clone, Copy)]
pub struct RunConfig<'a> {
    /// What the container is called.
    pub name: &'a ContainerName,
    /// What is executed; as the user has it if empty.
    pub argv: &'a [String],
    /// Variables that are set, each in the place of one of the user's with that name.
    pub env: &'a [(OsString, OsString)],
}

impl OciBundle {
    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let missing = |source| BundleError::Missing { path: path.to_owned(), source };
        // So that it means the same wherever the runtime is executed.
        let path = path.canonicalize().map_err(missing)?;
        let file = path.join(CONFIG);
        let mut content = Vec::new();
        let from = OpenOptions::new().read(true).open(&file).map_err(missing)?;
        from.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut content).map_err(missing)?;
        let invalid = |why: String| BundleError::Invalid { path: file.clone(), why };
        if content.len() as u64 > CONFIG_BYTES_MAX {
            return Err(invalid(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
        }
        let config: Map<String, Value> =
            serde_json::from_slice(&content).map_err(|error| invalid(error.to_string()))?;
        for field in ["process", "root"] {
            if !config.get(field).is_some_and(Value::is_object) {
                return Err(invalid(format!("it has no object {field:?}")));
            }
        }
        Ok(Self { path, config })
    }

    /// Makes a directory with the `config.json` of one run, which refers to the user's root file system and mounts.
    ///
    /// # Errors
    ///
    /// [`BundleError`]; the directory may be there then.
    pub fn write_for_run(&self, directory: &Path, run: RunConfig<'_>) -> Result<(), BundleError> {
        let config = self.for_run(run)?;
        let content = serde_json::to_vec_pretty(&config).map_err(|error| self.invalid(&error.to_string()))?;
        DirBuilder::new().mode(DIRECTORY_MODE).create(directory).map_err(BundleError::io("create", directory))?;
        let path = directory.join(CONFIG);
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        file.and_then(|mut file| file.write_all(&content)).map_err(BundleError::io("write", &path))
    }

    fn for_run(&self, run: RunConfig<'_>) -> Result<Map<String, Value>, BundleError> {
        let mut config = self.config.clone();
        if let Some(root) = config.get_mut("root").and_then(Value::as_object_mut) {
            let path = root.get("path").and_then(Value::as_str).unwrap_or("rootfs");
            let path = self.absolute(path)?;
            root.insert("path".to_owned(), path);
        }
        if let Some(process) = config.get_mut("process").and_then(Value::as_object_mut) {
            self.set_process(process, run)?;
        }
        let mounts = config.get_mut("mounts").and_then(Value::as_array_mut);
        for mount in mounts.into_iter().flatten().filter_map(Value::as_object_mut).filter(|mount| is_bind(mount)) {
            if let Some(source) = mount.get("source").and_then(Value::as_str) {
                let source = self.absolute(source)?;
                mount.insert("source".to_owned(), source);
            }
        }
        if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut)
            && let Some(path) = linux.get("cgroupsPath").and_then(Value::as_str)
        {
            let own = own_cgroup(path, run.name);
            linux.insert("cgroupsPath".to_owned(), own.into());
        }
        Ok(config)
    }

    fn set_process(&self, process: &mut Map<String, Value>, run: RunConfig<'_>) -> Result<(), BundleError> {
        // Its output goes through pipes, which are no terminal.
        process.insert("terminal".to_owned(), false.into());
        process.remove("consoleSize");
        if !run.argv.is_empty() {
            process.insert("args".to_owned(), run.argv.into());
        }
        let of_user = process.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut env: Vec<Value> = of_user.into_iter().filter(|variable| !is_one_of(variable, run.env)).collect();
        for (name, value) in run.env {
            let variable = (name.to_str(), value.to_str());
            let (Some(name), Some(value)) = variable else {
                return Err(self.invalid(&format!("the variable {name:?} for it is no UTF-8")));
            };
            env.push(format!("{name}={value}").into());
        }
        process.insert("env".to_owned(), env.into());
        Ok(())
    }

    /// A path that is meant relative to the bundle.
    fn absolute(&self, path: &str) -> Result<Value, BundleError> {
        let path = self.path.join(path);
        path.to_str().map(Value::from).ok_or_else(|| self.invalid("its directory has a name that is no UTF-8"))
    }

    fn invalid(&self, why: &str) -> BundleError {
        BundleError::Invalid { path: self.path.join(CONFIG), why: why.to_owned() }
    }
}

fn is_bind(mount: &Map<String, Value>) -> bool {
    let options = mount.get("options").and_then(Value::as_array);
    mount.get("type").is_some_and(|kind| kind == "bind")
        || options.is_some_and(|options| options.iter().any(|option| option == "bind" || option == "rbind"))
}

fn is_one_of(variable: &Value, env: &[(OsString, OsString)]) -> bool {
    let name = variable.as_str().and_then(|variable| variable.split('=').next());
    name.is_some_and(|name| env.iter().any(|(set, _)| set == name))
}

/// Two runs of one bundle may not be in one control group: whoever kills all of the one would kill the other.
fn own_cgroup(path: &str, name: &ContainerName) -> String {
    match *path.split(':').collect::<Vec<_>>() {
        // systemd's form: slice, prefix, name.
        [slice, prefix, _] => format!("{slice}:{prefix}:{name}"),
        _ => format!("{}/{name}", path.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::*;

    fn bundle(config: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(CONFIG), config).unwrap();
        directory
    }

    fn for_run(bundle: &Path, argv: &[&str], env: &[(&str, &str)]) -> Value {
        let into = tempfile::tempdir().unwrap();
        let argv: Vec<_> = argv.iter().map(|argument| (*argument).to_owned()).collect();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let name = ContainerName::of(ids::run(1), Ordinal(1));
        let directory = into.path().join("oci");
        let run = RunConfig { name: &name, argv: &argv, env: &env };
        OciBundle::open(bundle).unwrap().write_for_run(&directory, run).unwrap();
        serde_json::from_slice(&std::fs::read(directory.join(CONFIG)).unwrap()).unwrap()
    }

    #[test]
    fn a_run_has_its_own_config_and_the_users_root() {
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"terminal": true, "consoleSize": {"height": 1, "width": 1}, "args": ["sh"], "env": ["A=1", "B=2"]},
            "root": {"path": "rootfs", "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/a", "type": "bind", "source": "files"},
                {"destination": "/b", "options": ["rbind"], "source": "/files"},
            ],
            "linux": {"cgroupsPath": "/mine"},
        });
        let directory = bundle(&config.to_string());
        let here = directory.path().canonicalize().unwrap();
        let made = for_run(directory.path(), &[], &[("B", "3"), ("C", "4")]);
        assert_eq!(made["process"], json!({"terminal": false, "args": ["sh"], "env": ["A=1", "B=3", "C=4"]}));
        assert_eq!(made["root"], json!({"path": here.join("rootfs"), "readonly": true}));
        assert_eq!(made["mounts"][0], config["mounts"][0]);
        assert_eq!(made["mounts"][1]["source"], json!(here.join("files")));
        assert_eq!(made["mounts"][2]["source"], "/files");
        assert_eq!(made["linux"]["cgroupsPath"], format!("/mine/tacho-{}-1", ids::run(1)));
        assert_eq!(for_run(directory.path(), &["ls", "-l"], &[])["process"]["args"], json!(["ls", "-l"]));
        // The user's own is as it was.
        assert_eq!(std::fs::read_to_string(directory.path().join(CONFIG)).unwrap(), config.to_string());
    }

    #[test]
    fn control_groups_are_each_containers_own() {
        let name = ContainerName::of(ids::run(1), Ordinal(1));
        assert_eq!(own_cgroup("user.slice:runc:mine", &name), format!("user.slice:runc:{name}"));
        assert_eq!(own_cgroup("/mine/", &name), format!("/mine/{name}"));
    }

    #[test]
    fn a_bundle_that_is_none_is_named() {
        let missing = OciBundle::open(Path::new("/no/such/bundle")).unwrap_err();
        assert!(matches!(missing, BundleError::Missing { .. }), "{missing}");
        for (config, why) in [
            ("{", "EOF"),
            ("[]", "map"),
            ("{\"process\":{}}", "\"root\""),
            ("{\"process\":1,\"root\":{}}", "\"process\""),
        ] {
            let directory = bundle(config);
            let error = OciBundle::open(directory.path()).unwrap_err();
            assert!(matches!(error, BundleError::Invalid { .. }), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
        let error = OciBundle::open(tempfile::tempdir().unwrap().path()).unwrap_err();
        assert!(matches!(error, BundleError::Missing { .. }), "{error}");
    }
}
