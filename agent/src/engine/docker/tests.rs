//! The whole of the engine, on a real one. Without one these tests fail: nothing else shows that containers run.
