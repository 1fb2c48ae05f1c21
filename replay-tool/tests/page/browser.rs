//! A browser without a window, driven over two pipes by the DevTools protocol: no socket, and it ends with its test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// How long all that is done with one browser may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether there is a browser; fails if there is none and nothing may be left out.
pub(crate) fn is_there() -> bool {
    let there = Path::new("/usr/bin/chromium").exists();
    assert!(there || std::env::var_os("TACHO_TEST_ALL").is_none(), "chromium is needed");
    if !there {
        eprintln!("SKIPPED: looking at the page needs chromium");
    }
    there
}

pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    session: Option<String>,
    events: Vec<Value>,
    deadline: Instant,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A browser with one page of this size.
    pub(crate) fn open(width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken over the descriptors 3 and 4, which a shell makes of its standard input and output.
        let script = "exec /usr/bin/chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", "--remote-debugging-pipe", "--headless", "--no-sandbox", "--disable-gpu"]);
        command.args([
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ]);
        command.args(["--disable-sync", "--disable-breakpad", "--disable-dev-shm-usage", "--hide-scrollbars"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.env("HOME", profile.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut message = Vec::new();
            while from.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
                message.pop();
                let Ok(whole) = serde_json::from_slice(&message) else { break };
                if sender.send(whole).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let mut browser =
            Self { child, to, messages, last: 0, session: None, events: Vec::new(), deadline, _profile: profile };
        browser.attach(width, height);
        browser
    }

    fn attach(&mut self, width: u32, height: u32) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.resize(width, height);
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Asks for something, waits for the answer, and keeps the events that come meanwhile.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(&[message.to_string().as_bytes(), b"\0"].concat()).unwrap();
        let answer = loop {
            let message = self.receive(method);
            if message["id"] == json!(self.last) {
                break message;
            }
        };
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    fn receive(&mut self, what: &str) -> Value {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let message = self.messages.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: no answer: {error}"));
        if message["method"].is_string() {
            self.events.push(message.clone());
        }
        message
    }

    /// Opens a page, waits until it is loaded and drawn, and forgets the events before.
    pub(crate) fn visit(&mut self, address: &str) {
        self.events.clear();
        // A change of the part behind # alone would load nothing.
        self.call("Page.navigate", json!({"url": "about:blank"}));
        self.call("Page.navigate", json!({"url": address}));
        self.value(
            "new Promise((done) => document.readyState === 'complete' ? done(1) : addEventListener('load', () => done(1)))",
        );
        self.drawn();
    }

    /// Waits until what was asked for is drawn.
    pub(crate) fn drawn(&mut self) {
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    fn named<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
    }

    /// The addresses that the page wanted to request since the visit began, and the policy did not forbid.
    pub(crate) fn requested(&self) -> Vec<String> {
        let failed = self.named("Network.loadingFailed").filter(|failed| failed["blockedReason"] == "csp");
        let forbidden: Vec<&Value> = failed.map(|failed| &failed["requestId"]).collect();
        let requests = self.named("Network.requestWillBeSent");
        let requests = requests.filter(|request| !forbidden.contains(&&request["requestId"]));
        requests.map(|request| request["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// How many requests the policy forbade.
    pub(crate) fn forbidden(&self) -> usize {
        self.named("Network.loadingFailed").filter(|failed| failed["blockedReason"] == "csp").count()
    }

    /// What the page complained about since the visit began: exceptions, and whatever got to the console.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let thrown = self.named("Runtime.exceptionThrown").map(Value::to_string);
        let console = self.named("Runtime.consoleAPICalled").map(Value::to_string);
        let logged = self.named("Log.entryAdded").map(|params| params["entry"]["text"].to_string());
        thrown.chain(console).chain(logged).collect()
    }

    fn mouse(&mut self, kind: &str, x: f64, y: f64, more: Value) {
        let mut params = json!({"type": kind, "x": x, "y": y});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("Input.dispatchMouseEvent", params);
    }

    /// Presses the mouse at one place, moves it to another, and lets go.
    pub(crate) fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        let left = |buttons: u32| json!({"button": "left", "buttons": buttons, "clickCount": 1});
        self.mouse("mouseMoved", from.0, from.1, json!({}));
        self.mouse("mousePressed", from.0, from.1, left(1));
        if from != to {
            self.mouse("mouseMoved", (from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0, left(1));
            self.mouse("mouseMoved", to.0, to.1, left(1));
        }
        self.mouse("mouseReleased", to.0, to.1, left(0));
        self.drawn();
    }

    pub(crate) fn click(&mut self, at: (f64, f64)) {
        self.drag(at, at);
    }

    pub(crate) fn hover(&mut self, at: (f64, f64)) {
        self.mouse("mouseMoved", at.0, at.1, json!({}));
        self.drawn();
    }

    /// Clicks in the middle of an element.
    pub(crate) fn click_on(&mut self, selector: &str) {
        let at = self.middle_of(selector);
        self.click(at);
    }

    pub(crate) fn middle_of(&mut self, selector: &str) -> (f64, f64) {
        let quoted = json!(selector);
        let script = format!(
            "(() => {{ const box = document.querySelector({quoted}).getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] }})()"
        );
        let at = self.value(&script);
        (at[0].as_f64().unwrap(), at[1].as_f64().unwrap())
    }

    /// Turns the wheel; with Ctrl if asked for.
    pub(crate) fn wheel(&mut self, at: (f64, f64), down: f64, ctrl: bool) {
        let modifiers = if ctrl { 2 } else { 0 };
        self.mouse("mouseWheel", at.0, at.1, json!({"deltaX": 0, "deltaY": down, "modifiers": modifiers}));
        self.drawn();
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
        self.drawn();
    }

    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key}));
        }
        self.drawn();
    }

    pub(crate) fn dark(&mut self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.call("Emulation.setEmulatedMedia", features);
        self.drawn();
    }

    /// What is seen now.
    pub(crate) fn screenshot(&mut self) -> Picture {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        Picture::of(bytes(answer["data"].as_str().unwrap()))
    }

    /// The page as it is printed, as a PDF.
    pub(crate) fn printed(&mut self) -> Vec<u8> {
        let params = json!({"printBackground": true, "preferCSSPageSize": true});
        bytes(self.call("Page.printToPDF", params)["data"].as_str().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A picture of the page.
pub(crate) struct Picture {
    pub(crate) png: Vec<u8>,
    width: usize,
    bytes_per_pixel: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn of(png: Vec<u8>) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.bit_depth, png::BitDepth::Eight);
        let (width, bytes_per_pixel) = (info.width as usize, info.color_type.samples());
        Self { png, width, bytes_per_pixel, pixels }
    }

    /// The colour of a pixel, as `#rrggbb`.
    pub(crate) fn color(&self, (x, y): (f64, f64)) -> String {
        let at = (y as usize * self.width + x as usize) * self.bytes_per_pixel;
        self.pixels[at..at + 3].iter().fold("#".to_owned(), |text, part| format!("{text}{part:02x}"))
    }
}

fn bytes(base64: &str) -> Vec<u8> {
    let value = |char: u8| match char {
        b'A'..=b'Z' => char - b'A',
        b'a'..=b'z' => char - b'a' + 26,
        b'0'..=b'9' => char - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("no base64: {char}"),
    };
    let mut bytes = Vec::with_capacity(base64.len() / 4 * 3);
    for chunk in base64.trim_end_matches('=').as_bytes().chunks(4) {
        let bits =
            chunk.iter().fold(0_u32, |bits, char| bits << 6 | u32::from(value(*char))) << (6 * (4 - chunk.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}
