//! A field of the wrong type is a missing field: upstream is not trusted, and one odd value must
//! not cost a picture.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What must be an object. Without this serde would also take an array, and its items for the
/// fields in the order in which they happen to be written here.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

struct ObjectVisitor<T>(PhantomData<T>);

/// Reads a field if it is what it should be. For structs there is [`lenient_object`].
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// Reads a field if it is an object of the right shape.
pub(super) fn lenient_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let object: Option<Object<T>> = lenient(deserializer)?;
    Ok(object.map(|Object(inner)| inner))
}

/// Reads those items of an array that are objects of the right shape.
pub(super) fn lenient_objects<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let items: Option<Vec<Box<RawValue>>> = lenient(deserializer)?;
    let objects = |items: Vec<Box<RawValue>>| {
        let read = items.iter().map(|raw| serde_json::from_str(raw.get()));
        read.filter_map(|object| object.ok().map(|Object(inner)| inner))
            .collect()
    };
    Ok(items.map(objects))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = ObjectVisitor(PhantomData);
        deserializer.deserialize_map(visitor).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}
