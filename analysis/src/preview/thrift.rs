//! Thrift's compact protocol, in which Parquet describes itself: read as far as is needed to see that what a file says of
//! its sizes can be believed.

/// Structures within structures.
const DEPTH: usize = 24;

/// Why bytes are no structure, or none that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("it breaks off")]
    Cut,
    #[error("it is not as Parquet has it")]
    Strange,
    #[error("it has too many parts")]
    Many,
}

/// A value. Kinds that nothing here needs keep no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    List(Vec<Value>),
    Fields(Vec<(i64, Value)>),
    Other,
}

impl Value {
    pub(super) fn field(&self, id: i64) -> Option<&Self> {
        match self {
            Self::Fields(fields) => fields.iter().find(|(field, _)| *field == id).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn number(&self, id: i64) -> Option<i64> {
        match self.field(id) {
            Some(Self::Number(number)) => Some(*number),
            _ => None,
        }
    }
}

/// The structure at the beginning of these bytes, if it has no more parts than these.
pub(super) fn read(bytes: &[u8], parts: usize) -> Result<Value, Wrong> {
    Reading { bytes, parts }.fields(0)
}

struct Reading<'b> {
    bytes: &'b [u8],
    parts: usize,
}

impl Reading<'_> {
    fn byte(&mut self) -> Result<u8, Wrong> {
        let (first, rest) = self.bytes.split_first().ok_or(Wrong::Cut)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, Wrong> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Wrong::Strange)
    }

    /// A number whose sign is its last bit.
    fn signed(&mut self) -> Result<i64, Wrong> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn skip(&mut self, length: u64) -> Result<(), Wrong> {
        let length = usize::try_from(length).map_err(|_| Wrong::Cut)?;
        self.bytes = self.bytes.get(length..).ok_or(Wrong::Cut)?;
        Ok(())
    }

    fn fields(&mut self, depth: usize) -> Result<Value, Wrong> {
        if depth > DEPTH {
            return Err(Wrong::Strange);
        }
        let mut fields = Vec::new();
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(Value::Fields(fields));
            }
            id = match head >> 4 {
                0 => self.signed()?,
                more => id.saturating_add(i64::from(more)),
            };
            // The type alone says whether it is true.
            let value = match head & 0x0f {
                1 | 2 => Value::Other,
                kind => self.value(kind, depth)?,
            };
            fields.push((id, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value, Wrong> {
        self.parts = self.parts.checked_sub(1).ok_or(Wrong::Many)?;
        match kind {
            1..=3 => self.byte().map(|_| Value::Other),
            4..=6 => self.signed().map(Value::Number),
            7 => self.skip(8).map(|()| Value::Other),
            8 => {
                let length = self.varint()?;
                self.skip(length).map(|()| Value::Other)
            }
            9 | 10 => self.list(depth),
            12 => self.fields(depth + 1),
            // Parquet has no maps.
            _ => Err(Wrong::Strange),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        if depth > DEPTH {
            return Err(Wrong::Strange);
        }
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => self.varint()?,
            length => u64::from(length),
        };
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(self.value(head & 0x0f, depth + 1)?);
        }
        Ok(Value::List(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_read_and_lies_are_not_believed() {
        // 1: -1, 3: [5, 6], 4: true, 20: {1: "ab"}
        let bytes = [0x15, 0x01, 0x29, 0x25, 0x0a, 0x0c, 0x11, 0x0c, 40, 0x18, 2, b'a', b'b', 0, 0];
        let read_ = read(&bytes, 100).unwrap();
        assert_eq!(read_.number(1), Some(-1));
        assert_eq!(read_.field(3), Some(&Value::List(vec![Value::Number(5), Value::Number(6)])));
        assert_eq!(read_.field(20).unwrap().field(1), Some(&Value::Other));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], 100), Err(Wrong::Cut), "{end}");
        }
        assert_eq!(read(&bytes, 3), Err(Wrong::Many));
        // A list that says it has 2^34 elements, a text of 2^34 bytes, structures without end.
        assert_eq!(read(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x3f], 100), Err(Wrong::Cut));
        assert_eq!(read(&[0x18, 0xff, 0xff, 0xff, 0xff, 0x3f], 100), Err(Wrong::Cut));
        assert_eq!(read(&[0x1c; 1_000], 2_000), Err(Wrong::Strange));
    }
}
