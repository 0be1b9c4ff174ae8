//! The kernel's objects, their properties, and a request that sets some of them.

/// Whose properties are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A connector, by its object id.
    Connector(u32),
    /// A CRTC, by its object id.
    Crtc(u32),
    /// A plane, by its object id.
    Plane(u32),
}

/// A property of an object, with its present value.
#[derive(Clone, Debug)]
pub struct Property {
    /// The property's id.
    pub id: u32,
    /// Such as `CRTC_ID`.
    pub name: String,
    /// The present value; of an enumeration, one of `choices`.
    pub value: u64,
    /// It cannot be set.
    pub immutable: bool,
    /// Of a range: its end.
    pub most: u64,
    /// Of an enumeration: each value with its name.
    pub choices: Vec<(u64, String)>,
}

/// Properties to be set, as the kernel takes them: objects, how many properties each, the properties, their values.
#[derive(Debug, Default)]
pub struct Request {
    /// Object ids.
    pub objects: Vec<u32>,
    /// How many properties each object has: as long as `objects`.
    pub counts: Vec<u32>,
    /// Ids of the properties, object by object.
    pub properties: Vec<u32>,
    /// One value for each property.
    pub values: Vec<u64>,
}

impl Request {
    pub(crate) fn clear(&mut self) {
        self.objects.clear();
        self.counts.clear();
        self.properties.clear();
        self.values.clear();
    }

    /// What is set from here on is this object's.
    pub(crate) fn object(&mut self, id: u32) {
        self.objects.push(id);
        self.counts.push(0);
    }

    pub(crate) fn set(&mut self, property: u32, value: u64) {
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
            self.properties.push(property);
            self.values.push(value);
        }
    }

    /// Object, property, value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, u64)> {
        let objects = self.objects.iter().zip(&self.counts);
        let objects = objects.flat_map(|(&object, &count)| std::iter::repeat_n(object, count as usize));
        objects
            .zip(&self.properties)
            .zip(&self.values)
            .map(|((object, &property), &value)| (object, property, value))
    }
}
