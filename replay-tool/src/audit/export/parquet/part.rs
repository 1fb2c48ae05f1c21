//! One Parquet file in the making: rows are gathered column by column and written in groups.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use rusqlite::types::Value;
use tachograph_adapters::sealing::{Seal, Sealing};
use tachograph_engine::domain::Digest;

use super::super::super::column::TableInfo;
use super::super::problem::ExportProblem;
use super::super::source::WRITTEN_BY;

/// Rows of a group at most: readers share the groups of a file among their threads, and skip whole ones by their statistics.
const GROUP_ROWS_MAX: usize = 65_536;
/// Bytes of values of a group at most; they are in memory until the group is written.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// A compression that is cheap, and good enough for text.
const ZSTD_LEVEL: i32 = 3;
/// The column with the whole of a row as JSON: no two are the same, and nobody looks for ranges of it.
const PAYLOAD: &str = "payload";

/// How the files of a table are made.
pub(super) struct Shape {
    schema: TypePtr,
    properties: Arc<WriterProperties>,
    columns: Vec<Physical>,
}

impl Shape {
    /// The shape of a table: its columns are all optional, whole numbers or UTF-8 text. `facts` go into every footer.
    pub(super) fn of(table: &TableInfo, facts: &[(&'static str, String)]) -> ParquetResult<Self> {
        let columns: Vec<Physical> = table.columns.iter().map(|column| physical(column.kind)).collect();
        let fields = table.columns.iter().zip(&columns).map(|(column, physical)| {
            let text = (*physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
            let field = Type::primitive_type_builder(column.name, *physical).with_logical_type(text);
            field.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
        });
        let fields = fields.collect::<ParquetResult<Vec<TypePtr>>>()?;
        let schema = Arc::new(Type::group_type_builder(table.name).with_fields(fields).build()?);
        let facts = facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
        let payload = ColumnPath::from(PAYLOAD);
        let properties = WriterProperties::builder()
            .set_created_by(WRITTEN_BY.to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_column_dictionary_enabled(payload.clone(), false)
            .set_column_statistics_enabled(payload, EnabledStatistics::None)
            .set_key_value_metadata(Some(facts));
        Ok(Self { schema, properties: Arc::new(properties.build()), columns })
    }
}

fn physical(kind: &str) -> Physical {
    if kind == "INTEGER" { Physical::INT64 } else { Physical::BYTE_ARRAY }
}

/// A file that is whole and durable under the name of its draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) draft: PathBuf,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// A file in the making.
pub(super) struct Part {
    draft: PathBuf,
    writer: SerializedFileWriter<Sealing<BufWriter<File>>>,
    columns: Vec<Gathered>,
    rows_gathered: usize,
    bytes_gathered: usize,
    rows: u64,
}

impl Part {
    /// Begins a file of a shape.
    pub(super) fn create(draft: PathBuf, shape: &Shape) -> Result<Self, ExportProblem> {
        // Evidence may hold what is nobody else's business.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
        let file = file.map_err(|source| ExportProblem::Step { step: "create", path: draft.clone(), source })?;
        let sealing = Sealing::of(BufWriter::new(file));
        let writer = SerializedFileWriter::new(sealing, shape.schema.clone(), shape.properties.clone());
        let columns = shape.columns.iter().map(|physical| Gathered::of(*physical)).collect();
        match writer {
            Ok(writer) => Ok(Self { draft, writer, columns, rows_gathered: 0, bytes_gathered: 0, rows: 0 }),
            Err(error) => Err(problem(&draft, error)),
        }
    }

    /// Adds a row.
    pub(super) fn write(&mut self, row: &[Value]) -> Result<(), ExportProblem> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            self.bytes_gathered += column.take(value);
        }
        self.rows_gathered += 1;
        self.rows += 1;
        if self.rows_gathered >= GROUP_ROWS_MAX || self.bytes_gathered >= GROUP_BYTES_MAX {
            self.write_group().map_err(|error| problem(&self.draft, error))?;
        }
        Ok(())
    }

    /// Ends the file and makes it durable.
    pub(super) fn finish(mut self) -> Result<Made, ExportProblem> {
        if self.rows_gathered > 0 {
            self.write_group().map_err(|error| problem(&self.draft, error))?;
        }
        let Self { draft, writer, rows, .. } = self;
        let (file, Seal { bytes, digest }) = writer.into_inner().map_err(|error| problem(&draft, error))?.finish();
        let synced = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|source| ExportProblem::Step { step: "write", path: draft.clone(), source })?;
        Ok(Made { draft, rows, bytes, digest })
    }

    fn write_group(&mut self) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            column.write(writer.untyped())?;
            writer.close()?;
        }
        group.close()?;
        (self.rows_gathered, self.bytes_gathered) = (0, 0);
        Ok(())
    }
}

/// The values of one column of a group.
struct Gathered {
    /// For each row 1 if it has a value, 0 if it is NULL.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Integers(Vec<i64>),
    /// All texts behind each other, and where each ends.
    Texts(Vec<u8>, Vec<usize>),
}

impl Gathered {
    fn of(physical: Physical) -> Self {
        let values = match physical {
            Physical::INT64 => Values::Integers(Vec::new()),
            _ => Values::Texts(Vec::new(), Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    /// Takes a value and returns how many bytes it is. A value of another type than the column's, which no table has, is
    /// NULL.
    fn take(&mut self, value: &Value) -> usize {
        let (level, bytes) = match (&mut self.values, value) {
            (Values::Integers(integers), Value::Integer(integer)) => {
                integers.push(*integer);
                (1, size_of::<i64>())
            }
            (Values::Texts(texts, ends), Value::Text(text)) => {
                texts.extend_from_slice(text.as_bytes());
                ends.push(texts.len());
                (1, text.len())
            }
            _ => (0, 0),
        };
        self.levels.push(level);
        bytes + size_of::<i16>()
    }

    /// Writes what was taken, and holds nothing any more.
    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> ParquetResult<()> {
        match (&mut self.values, writer) {
            (Values::Integers(integers), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(integers, Some(&self.levels), None)?;
                integers.clear();
            }
            (Values::Texts(texts, ends), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let texts = Bytes::from(std::mem::take(texts));
                let begins = std::iter::once(0).chain(ends.iter().copied());
                let slices = begins.zip(ends.iter()).map(|(begin, end)| ByteArray::from(texts.slice(begin..*end)));
                let slices: Vec<ByteArray> = slices.collect();
                writer.write_batch(&slices, Some(&self.levels), None)?;
                ends.clear();
            }
            _ => return Err(ParquetError::General("a column has another type than its table says".to_owned())),
        }
        self.levels.clear();
        Ok(())
    }
}

/// What went wrong with a file; a full disk stays one.
pub(super) fn problem(path: &Path, error: ParquetError) -> ExportProblem {
    let path = path.to_owned();
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(source) => ExportProblem::Step { step: "write", path, source: *source },
            Err(error) => ExportProblem::Encoding { path, why: error.to_string() },
        },
        error => ExportProblem::Encoding { path, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::audit::ColumnInfo;

    /// The rows of each group of a file with rows whose text is this long.
    fn groups(rows: usize, text_bytes: usize) -> Vec<i64> {
        let dir = tempfile::tempdir().unwrap();
        let column = |name, kind| ColumnInfo { name, kind, about: "" };
        let columns = vec![column("position", "INTEGER"), column("payload", "TEXT")];
        let shape = Shape::of(&TableInfo { name: "t", about: "", columns }, &[]).unwrap();
        let mut part = Part::create(dir.path().join("1.draft"), &shape).unwrap();
        let text = "x".repeat(text_bytes);
        for row in 0..rows {
            let payload = if row % 2 == 0 { Value::Text(text.clone()) } else { Value::Null };
            part.write(&[Value::Integer(row as i64), payload]).unwrap();
        }
        let made = part.finish().unwrap();
        let bytes = std::fs::read(&made.draft).unwrap();
        assert_eq!((made.rows, made.bytes), (rows as u64, bytes.len() as u64));
        assert_eq!(made.digest.to_string(), blake3::hash(&bytes).to_string());
        let reader = SerializedFileReader::new(File::open(&made.draft).unwrap()).unwrap();
        for (index, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap().to_string();
            assert!(row.starts_with(&format!("{{position: {index}, payload: ")), "{row}");
            assert_eq!(row.ends_with("payload: null}"), index % 2 == 1, "{row}");
        }
        reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
    }

    #[test]
    fn a_group_is_bounded_by_rows_and_by_bytes() {
        assert!(groups(0, 0).is_empty());
        assert_eq!(groups(GROUP_ROWS_MAX, 1), [GROUP_ROWS_MAX as i64]);
        assert_eq!(groups(GROUP_ROWS_MAX + 3, 1), [GROUP_ROWS_MAX as i64, 3]);
        let long = groups(100, 1 << 20);
        assert!(long.len() > 2 && long.iter().all(|rows| *rows <= 33), "{long:?}");
    }
}
