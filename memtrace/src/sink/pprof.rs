//! pprof's gzipped protocol buffers (github.com/google/pprof, proto/profile.proto), written and read.
use crate::goruntime::Frame;
use crate::profile::{Profile, Sample, ValueType};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

/// A larger profile is not read.
const PROFILE_MAX_BYTES: u64 = 256 << 20;
/// Bytes that each byte of a profile may become: stacks repeat their frames and frames their names.
const EXPANSION_MAX: usize = 256;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

#[derive(Clone, PartialEq, Message)]
struct Proto {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ProtoType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<ProtoSample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<ProtoMapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<ProtoLocation>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<ProtoFunction>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ProtoType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoType {
    #[prost(int64, tag = "1")]
    name: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoSample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<ProtoLabel>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoLabel {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
    #[prost(int64, tag = "3")]
    number: i64,
    #[prost(int64, tag = "4")]
    unit: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoMapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoLocation {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<ProtoLine>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoLine {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoFunction {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// `exe`: of the one mapping; `taken_ns` since the epoch.
pub fn write_pprof(out: &mut dyn Write, profile: &Profile, exe: &str, taken_ns: i64) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&Writer::new().proto(profile, exe, taken_ns).encode_to_vec())?;
    gzip.finish()?.flush()
}

#[derive(Default)]
struct Writer {
    proto: Proto,
    strings: HashMap<String, i64>,
    functions: HashMap<(String, String), u64>,
    locations: HashMap<Frame, u64>,
}

impl Writer {
    fn new() -> Writer {
        let mut writer = Writer::default();
        // The first string is empty, by definition.
        writer.string("");
        writer
    }

    fn proto(mut self, profile: &Profile, exe: &str, taken_ns: i64) -> Proto {
        self.proto.time_nanos = taken_ns;
        self.proto.sample_type = profile.types.iter().map(|of| self.value_type(of)).collect();
        if let Some((of, period)) = &profile.period {
            (self.proto.period_type, self.proto.period) = (Some(self.value_type(of)), *period);
        }
        let shown = profile.types.get(profile.shown).map(|of| of.name.clone()).unwrap_or_default();
        self.proto.default_sample_type = self.string(&shown);
        let filename = self.string(exe);
        self.proto.mapping = vec![ProtoMapping {
            id: 1,
            filename,
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        }];
        for sample in &profile.samples {
            let location_id = sample.stack.iter().map(|frame| self.location(frame)).collect();
            let mut label = Vec::new();
            for (key, text) in &sample.labels {
                label.push(ProtoLabel { key: self.string(key), text: self.string(text), ..ProtoLabel::default() });
            }
            for (key, (number, unit)) in &sample.numbers {
                let (key, unit) = (self.string(key), self.string(unit));
                label.push(ProtoLabel { key, number: *number, unit, ..ProtoLabel::default() });
            }
            self.proto.sample.push(ProtoSample { location_id, value: sample.values.clone(), label });
        }
        self.proto
    }

    fn value_type(&mut self, of: &ValueType) -> ProtoType {
        ProtoType { name: self.string(&of.name), unit: self.string(&of.unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = self.proto.string_table.len() as i64;
        self.proto.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    fn location(&mut self, frame: &Frame) -> u64 {
        if let Some(id) = self.locations.get(frame) {
            return *id;
        }
        let line = frame.function.as_deref().map(|function| {
            let function_id = self.function(function, frame.file.as_deref().unwrap_or_default());
            ProtoLine { function_id, line: frame.line.unwrap_or(0).into() }
        });
        let id = self.proto.location.len() as u64 + 1;
        let line = line.into_iter().collect();
        self.proto.location.push(ProtoLocation { id, mapping_id: 1, address: frame.address, line });
        self.locations.insert(frame.clone(), id);
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let key = (name.to_owned(), file.to_owned());
        if let Some(id) = self.functions.get(&key) {
            return *id;
        }
        let id = self.proto.function.len() as u64 + 1;
        let (name, filename) = (self.string(name), self.string(file));
        self.proto.function.push(ProtoFunction { id, name, system_name: name, filename });
        self.functions.insert(key, id);
        id
    }
}

/// A profile that memtrace or `runtime/pprof` wrote. Locations with several lines become several frames.
pub fn read_pprof(from: impl Read) -> io::Result<Profile> {
    let mut packed = Vec::new();
    from.take(PROFILE_MAX_BYTES).read_to_end(&mut packed)?;
    let mut bytes = Vec::new();
    if packed.starts_with(&GZIP_MAGIC) {
        GzDecoder::new(packed.as_slice()).take(PROFILE_MAX_BYTES).read_to_end(&mut bytes)?;
    } else {
        bytes = packed;
    }
    let proto = Proto::decode(bytes.as_slice()).map_err(|_| not_a_profile())?;
    let left = bytes.len().saturating_mul(EXPANSION_MAX);
    Reader { strings: &proto.string_table, left }.profile(&proto).ok_or_else(not_a_profile)
}

fn not_a_profile() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not a profile in pprof's format")
}

/// Counts what the profile grows to in memory.
struct Reader<'a> {
    strings: &'a [String],
    left: usize,
}

impl Reader<'_> {
    fn profile(mut self, proto: &Proto) -> Option<Profile> {
        let types: Vec<ValueType> = proto.sample_type.iter().map(|of| self.value_type(of)).collect::<Option<_>>()?;
        if types.is_empty() {
            return None;
        }
        let frames = self.frames(proto)?;
        let mut samples = Vec::new();
        for sample in &proto.sample {
            if sample.value.len() != types.len() {
                return None;
            }
            let mut read = Sample { values: sample.value.clone(), ..Sample::default() };
            for id in &sample.location_id {
                let of = frames.get(id)?;
                self.spend(of.iter().map(frame_bytes).sum())?;
                read.stack.extend(of.iter().cloned());
            }
            for label in &sample.label {
                let key = self.string(label.key)?;
                if label.text != 0 {
                    read.labels.insert(key, self.string(label.text)?);
                } else {
                    read.numbers.insert(key, (label.number, self.string(label.unit)?));
                }
            }
            samples.push(read);
        }
        let shown = self.string(proto.default_sample_type);
        let shown = types.iter().position(|of| shown.as_ref() == Some(&of.name));
        let period = proto.period_type.as_ref().and_then(|of| self.value_type(of)).map(|of| (of, proto.period));
        Some(Profile { shown: shown.unwrap_or(types.len() - 1), types, period, samples })
    }

    /// Of each location, innermost call first.
    fn frames(&mut self, proto: &Proto) -> Option<HashMap<u64, Vec<Frame>>> {
        let functions: HashMap<u64, &ProtoFunction> =
            proto.function.iter().map(|function| (function.id, function)).collect();
        let mut frames = HashMap::new();
        for location in &proto.location {
            let mut of = Vec::new();
            for line in &location.line {
                let function = functions.get(&line.function_id)?;
                of.push(Frame {
                    address: location.address,
                    function: self.string(function.name),
                    file: self.string(function.filename).filter(|file| !file.is_empty()),
                    line: u32::try_from(line.line).ok().filter(|line| *line != 0),
                });
            }
            if of.is_empty() {
                of.push(Frame { address: location.address, ..Frame::default() });
            }
            self.spend(of.len().saturating_mul(size_of::<Frame>()))?;
            frames.insert(location.id, of);
        }
        Some(frames)
    }

    fn value_type(&mut self, of: &ProtoType) -> Option<ValueType> {
        Some(ValueType { name: self.string(of.name)?, unit: self.string(of.unit)? })
    }

    fn string(&mut self, index: i64) -> Option<String> {
        let text = self.strings.get(usize::try_from(index).ok()?)?;
        self.spend(text.len())?;
        Some(text.clone())
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }
}

fn frame_bytes(frame: &Frame) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    size_of::<Frame>() + text(&frame.function) + text(&frame.file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn profile() -> Profile {
        let frame = |address, function: Option<&str>| Frame {
            address,
            function: function.map(str::to_owned),
            file: function.map(|_| "main.go".to_owned()),
            line: function.map(|_| 7),
        };
        let stack = vec![frame(1, Some("main.f")), frame(2, None), frame(1, Some("main.f"))];
        Profile {
            types: vec![ValueType::new("inuse_objects", "count"), ValueType::new("inuse_space", "bytes")],
            shown: 0,
            period: Some((ValueType::new("space", "bytes"), 524_288)),
            samples: vec![Sample {
                stack,
                labels: BTreeMap::from([("state".to_owned(), "waiting".to_owned())]),
                numbers: BTreeMap::from([("bytes".to_owned(), (48, "bytes".to_owned()))]),
                values: vec![-3, i64::MAX],
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut file = Vec::new();
        write_pprof(&mut file, &profile(), "/bin/x", 12).unwrap();
        assert!(file.starts_with(&GZIP_MAGIC));
        assert_eq!(read_pprof(file.as_slice()).unwrap(), profile());
    }

    #[test]
    fn each_string_function_and_location_is_written_once() {
        let proto = Writer::new().proto(&profile(), "/bin/x", 12);
        assert_eq!((proto.function.len(), proto.location.len()), (1, 2));
        assert_eq!(proto.sample[0].location_id, [1, 2, 1]);
        let mut sorted = proto.string_table.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((sorted.len(), proto.string_table[0].as_str()), (proto.string_table.len(), ""));
    }

    #[test]
    fn what_is_no_profile_is_an_error() {
        let mut file = Vec::new();
        write_pprof(&mut file, &profile(), "/bin/x", 12).unwrap();
        for length in 0..file.len() {
            assert!(read_pprof(&file[..length]).is_err(), "{length} bytes");
        }
        assert!(read_pprof(&b"main.f 7\n"[..]).is_err());
        let mut proto = Writer::new().proto(&profile(), "/bin/x", 12);
        proto.sample[0].location_id = vec![99];
        assert!(read_pprof(proto.encode_to_vec().as_slice()).is_err());
        // Many small references to much.
        proto.sample[0].location_id = vec![1; 1000];
        proto.location[0].line = vec![proto.location[0].line[0]; 1000];
        assert!(read_pprof(proto.encode_to_vec().as_slice()).is_err());
    }
}
