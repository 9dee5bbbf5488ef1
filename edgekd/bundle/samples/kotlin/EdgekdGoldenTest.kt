// The golden vectors as an instrumented test: copy it to app/src/androidTest/, run ./gradlew connectedAndroidTest.
// edgekd's own tests compile this file against declarations of LiteRT and Android, and have no phone to run it on.
package edgekd.sample

import android.os.Build
import android.util.Log
import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import java.nio.ByteBuffer
import java.security.MessageDigest
import kotlin.math.abs
import kotlin.math.sqrt

@RunWith(AndroidJUnit4::class)
class EdgekdGoldenTest {
    private val model = EdgekdModel(InstrumentationRegistry.getInstrumentation().targetContext.assets)
    private val golden = JSONObject(model.text(model.manifest.getJSONObject("golden").getString("index")))

    @Test
    fun theFileIsTheOneOfTheManifest() {
        val digest = MessageDigest.getInstance("SHA-256").digest(model.bytes(model.file))
        assertEquals(model.facts.getString("sha256"), digest.joinToString("") { "%02x".format(it) })
    }

    @Test
    fun goldenVectorsComeOut() {
        val tolerance = tolerance()
        var apart = 0.0
        val items = EdgekdModel.objects(golden.getJSONArray("items"))
        for ((number, item) in items.withIndex()) {
            val expected = item.getJSONObject("models").getJSONObject(model.file)
            val inputs = stored(expected, "inputs")
            if (isImage() && !item.isNull("raw")) checkPrepared(item.getString("raw"), inputs, number)
            val outputs = model.run(inputs)
            for (tensor in EdgekdModel.objects(model.facts.getJSONArray("outputs"))) {
                val name = tensor.getString("name")
                val wanted = model.real(stored(expected, "outputs").getValue(name), tensor)
                apart = maxOf(apart, checkOutput(model.real(outputs.getValue(name), tensor), wanted, tolerance, number))
            }
        }
        Log.i("edgekd", "${model.file}: ok: ${items.size} golden vectors, outputs $apart apart, ${tolerance.getDouble("max_abs")} allowed")
    }

    private fun isImage() = model.manifest.getJSONObject("preprocessing").getString("kind") == "image"

    /** This processor's tolerance. */
    private fun tolerance(): JSONObject {
        val own = if (Build.SUPPORTED_ABIS[0] == "arm64-v8a") "arm64" else Build.SUPPORTED_ABIS[0]
        val all = EdgekdModel.objects(golden.getJSONObject("tolerances").getJSONArray(model.file))
        return all.firstOrNull { it.getString("isa") == own } ?: all.first { it.getString("isa") == "any" }
    }

    /** Golden inputs or outputs by name. */
    private fun stored(expected: JSONObject, key: String): Map<String, ByteBuffer> =
        EdgekdModel.objects(expected.getJSONArray(key))
            .associate { it.getString("name") to EdgekdModel.buffer(model.bytes(it.getString("file"))) }

    private fun checkPrepared(raw: String, inputs: Map<String, ByteBuffer>, number: Int) {
        val tensor = EdgekdModel.objects(model.facts.getJSONArray("inputs")).single()
        val dtype = tensor.getString("dtype")
        val found = EdgekdModel.numbers(model.prepared(model.decoded(raw)), dtype)
        val wanted = EdgekdModel.numbers(inputs.getValue(tensor.getString("name")), dtype)
        val within = if (dtype == "float32") 1e-5 else 1.0 // rounding of another compiler
        val apart = farthest(found, wanted)
        assertTrue("golden vector $number: prepared here it is $apart apart, $within allowed", apart <= within)
    }

    /** Fails where an output lies outside the tolerance (NaN does), or returns how far it is apart. */
    private fun checkOutput(found: List<Double>, wanted: List<Double>, tolerance: JSONObject, number: Int): Double {
        val apart = farthest(found, wanted)
        val limit = tolerance.getDouble("max_abs")
        assertTrue("golden vector $number: $apart apart, $limit allowed", apart <= limit)
        val (best, expected) = largest(found) to largest(wanted)
        val near = wanted[expected] - wanted[best] <= limit
        assertTrue("golden vector $number: class $best, expected $expected", !tolerance.getBoolean("top1") || best == expected || near)
        if (!tolerance.isNull("cosine")) {
            val cosine = dot(found, wanted) / sqrt(dot(found, found) * dot(wanted, wanted))
            assertTrue("golden vector $number: cosine $cosine", cosine >= tolerance.getDouble("cosine"))
        }
        return apart
    }

    private fun farthest(a: List<Double>, b: List<Double>): Double {
        assertEquals(b.size, a.size)
        return a.indices.fold(0.0) { most, at -> abs(a[at] - b[at]).let { if (it <= most) most else it } } // so NaN stays
    }

    private fun largest(values: List<Double>) = values.indices.maxByOrNull { values[it] }!!

    private fun dot(a: List<Double>, b: List<Double>) = a.indices.sumOf { a[it] * b[it] }
}
