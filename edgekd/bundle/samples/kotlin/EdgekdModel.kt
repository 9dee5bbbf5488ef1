// This bundle's TFLite model in LiteRT on Android. All that it knows of it, it reads from manifest.json.
// Copy the bundle's files into app/src/main/assets/, and to build.gradle.kts:
//     implementation("com.google.ai.edge.litert:litert:1.4.1")   // or what manifest.json's "minimum" says, or newer
// edgekd's own tests compile this file against declarations of LiteRT and Android, and have no phone to run it on.
package edgekd.sample

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import org.json.JSONArray
import org.json.JSONObject
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

class EdgekdModel(private val assets: AssetManager, threads: Int = 1) : AutoCloseable {
    val manifest = JSONObject(text("manifest.json"))
    val facts = objects(manifest.getJSONArray("models")).first { it.getString("format") == "tflite" }
    val file: String = facts.getString("file")
    private val before = manifest.getJSONObject("preprocessing")
    private val after = manifest.getJSONObject("postprocessing")
    private val interpreter = Interpreter(buffer(bytes(file)), Interpreter.Options().setNumThreads(threads))

    data class Answer(val label: String, val share: Double)

    /** The most likely labels of an image, none below the manifest's threshold. */
    fun classify(image: Bitmap, count: Int = 3): List<Answer> {
        val temperatures = after.optJSONObject("temperatures") ?: JSONObject()
        val temperature = temperatures.optDouble(file, after.getDouble("temperature"))
        val logits = firstOutput(mapOf(inputName(0) to prepared(image))).map { it / temperature }
        val powers = logits.map { exp(it - logits.max()) }
        val labels = if (after.isNull("labels")) null else JSONArray(text(after.getString("labels")))
        val threshold = if (after.isNull("threshold")) 0.0 else after.getDouble("threshold")
        return powers.indices
            .map { Answer(labels?.getString(it) ?: it.toString(), powers[it] / powers.sum()) }
            .filter { it.share >= threshold }
            .sortedByDescending { it.share }
            .take(count)
    }

    /** Token ids, special ones included, into the vector. Tokenize with the tokenizer that the manifest names. */
    fun embed(ids: List<Int>): List<Double> {
        val tensors = objects(facts.getJSONArray("inputs"))
        val length = tensors[0].getJSONArray("shape").getInt(1)
        val roles = mapOf(
            "input_ids" to ids + List(length - ids.size) { before.getInt("pad_id") },
            "attention_mask" to List(length) { if (it < ids.size) 1 else 0 },
            "token_type_ids" to List(length) { 0 },
        )
        return firstOutput(tensors.associate { it.getString("name") to whole(roles.getValue(it.getString("role")), it) })
    }

    /** From an image to what the model's input holds. */
    fun prepared(image: Bitmap): ByteBuffer {
        val tensor = objects(facts.getJSONArray("inputs")).single()
        val height = before.getInt("height")
        val width = before.getInt("width")
        val pixels = resized(channels(image, before.getString("colour") == "grey-as-rgb"), height, width)
        val plain = strings(before.getJSONArray("in_graph")).contains(file)
        val last = before.getJSONObject("layouts").getString(file) == "NHWC"
        val values = FloatArray(3 * height * width)
        for (place in 0 until height * width) {
            for (channel in 0 until 3) {
                val pixel = pixels.data[place * pixels.channels + channel % pixels.channels]
                values[if (last) place * 3 + channel else channel * height * width + place] =
                    if (plain) pixel else normalised(pixel, channel)
            }
        }
        return stored(values, tensor)
    }

    /** Inputs by name into outputs by name, as the model stores them. */
    fun run(inputs: Map<String, ByteBuffer>): Map<String, ByteBuffer> {
        val fed = Array<Any>(interpreter.inputTensorCount) { inputs.getValue(inputName(it)).also { each -> each.rewind() } }
        val given = (0 until interpreter.outputTensorCount).associateWith { direct(interpreter.getOutputTensor(it).numBytes()) }
        interpreter.runForMultipleInputsOutputs(fed, given)
        return given.entries.associate { (index, values) -> interpreter.getOutputTensor(index).name() to values }
    }

    /** What a tensor holds as real numbers; `tensor`: its facts in the manifest. */
    fun real(values: ByteBuffer, tensor: JSONObject): List<Double> {
        val numbers = numbers(values, tensor.getString("dtype"))
        if (tensor.isNull("scale")) return numbers
        return numbers.map { tensor.getDouble("scale") * (it - tensor.getInt("zero_point")) }
    }

    fun bytes(place: String): ByteArray = assets.open(place).use { it.readBytes() }

    fun text(place: String): String = String(bytes(place), Charsets.UTF_8)

    fun decoded(place: String): Bitmap {
        val options = BitmapFactory.Options().apply { inScaled = false }
        return bytes(place).let { requireNotNull(BitmapFactory.decodeByteArray(it, 0, it.size, options)) { "$place: not an image" } }
    }

    override fun close() = interpreter.close()

    private fun inputName(index: Int): String = interpreter.getInputTensor(index).name()

    private fun firstOutput(inputs: Map<String, ByteBuffer>): List<Double> {
        val tensor = facts.getJSONArray("outputs").getJSONObject(0)
        return real(run(inputs).getValue(tensor.getString("name")), tensor)
    }

    private fun normalised(pixel: Float, channel: Int): Float {
        val (low, high) = before.getJSONArray("value_range").let { it.getDouble(0).toFloat() to it.getDouble(1).toFloat() }
        val mean = before.getJSONArray("mean").getDouble(channel).toFloat()
        return (pixel * ((high - low) / 255) + low - mean) / before.getJSONArray("scale").getDouble(channel).toFloat()
    }

    private class Pixels(val height: Int, val width: Int, val channels: Int, val data: FloatArray)

    private fun channels(image: Bitmap, grey: Boolean): Pixels {
        val colours = IntArray(image.width * image.height)
        image.getPixels(colours, 0, image.width, 0, 0, image.width, image.height)
        val channels = if (grey) 1 else 3
        val data = FloatArray(colours.size * channels)
        for ((place, colour) in colours.withIndex()) {
            val (red, green, blue) = Triple(colour shr 16 and 255, colour shr 8 and 255, colour and 255)
            if (grey) {
                data[place] = ((red * 19595 + green * 38470 + blue * 7471 + 32768) shr 16).toFloat() // as Pillow does
            } else {
                listOf(red, green, blue).forEachIndexed { channel, value -> data[place * 3 + channel] = value.toFloat() }
            }
        }
        return Pixels(image.height, image.width, channels, data)
    }

    /** To the size of the training images, as those were: bilinear, antialiased, perhaps the middle part alone. */
    private fun resized(from: Pixels, height: Int, width: Int): Pixels {
        if (from.height == height && from.width == width) return from
        val part = min(from.height.toDouble() / height, from.width.toDouble() / width)
        val crop = before.getString("crop") == "centre"
        val across = triangles(from.width, if (crop) part * width else from.width.toDouble(), width)
        val down = triangles(from.height, if (crop) part * height else from.height.toDouble(), height)
        val rows = weighted(from.data, from.height, across, from.channels) // (from.height, width, channels)
        return Pixels(height, width, from.channels, weighted(rows, 1, down, width * from.channels))
    }

    private class Shares(val first: Int, val shares: List<Double>)

    /** For each new pixel the shares of old ones: a bilinear filter over the `length` pixels in the middle. */
    private fun triangles(old: Int, length: Double, count: Int): List<Shares> {
        val step = length / count
        val radius = if (before.getString("resize") == "bilinear") 1.0 else max(step, 1.0)
        return List(count) { place ->
            val centre = (old - length) / 2 + (place + 0.5) * step
            val first = max(0, floor(centre - radius).toInt())
            val shares = (first until min(old, ceil(centre + radius).toInt())).map { max(0.0, 1 - abs(it + 0.5 - centre) / radius) }
            Shares(first, shares.map { it / shares.sum() })
        }
    }

    /** Data (groups, old, size) -> (groups, new, size), rounded as Pillow does after each axis. */
    private fun weighted(data: FloatArray, groups: Int, weights: List<Shares>, size: Int): FloatArray {
        val old = data.size / groups / size
        val result = FloatArray(groups * weights.size * size)
        for (group in 0 until groups) {
            for ((place, weight) in weights.withIndex()) {
                for (one in 0 until size) {
                    var sum = 0.5
                    weight.shares.forEachIndexed { at, share -> sum += share * data[(group * old + weight.first + at) * size + one] }
                    result[(group * weights.size + place) * size + one] = floor(sum).toFloat()
                }
            }
        }
        return result
    }

    /** Real values as the model takes them. */
    private fun stored(values: FloatArray, tensor: JSONObject): ByteBuffer {
        if (tensor.getString("dtype") == "float32") return direct(4 * values.size).apply { asFloatBuffer().put(values) }
        val (least, most) = if (tensor.getString("dtype") == "int8") -128 to 127 else 0 to 255
        val scale = if (tensor.isNull("scale")) 1f else tensor.getDouble("scale").toFloat()
        val zero = if (tensor.isNull("scale")) 0 else tensor.getInt("zero_point")
        val made = direct(values.size)
        values.forEach { made.put((Math.rint((it / scale).toDouble()).toInt() + zero).coerceIn(least, most).toByte()) }
        return made
    }

    private fun whole(values: List<Int>, tensor: JSONObject): ByteBuffer {
        val long = tensor.getString("dtype") == "int64"
        val made = direct(values.size * if (long) 8 else 4)
        values.forEach { if (long) made.putLong(it.toLong()) else made.putInt(it) }
        return made
    }

    companion object {
        fun objects(list: JSONArray): List<JSONObject> = List(list.length()) { list.getJSONObject(it) }

        fun strings(list: JSONArray): List<String> = List(list.length()) { list.getString(it) }

        fun direct(size: Int): ByteBuffer = ByteBuffer.allocateDirect(size).order(ByteOrder.LITTLE_ENDIAN)

        fun buffer(bytes: ByteArray): ByteBuffer = direct(bytes.size).put(bytes).also { it.rewind() }

        /** The numbers of a tensor as they are stored. */
        fun numbers(values: ByteBuffer, dtype: String): List<Double> {
            values.rewind()
            values.order(ByteOrder.LITTLE_ENDIAN)
            return when (dtype) {
                "float32" -> List(values.capacity() / 4) { values.getFloat(4 * it).toDouble() }
                "int8" -> List(values.capacity()) { values.get(it).toDouble() }
                "uint8" -> List(values.capacity()) { (values.get(it).toInt() and 255).toDouble() }
                "int32" -> List(values.capacity() / 4) { values.getInt(4 * it).toDouble() }
                else -> List(values.capacity() / 8) { values.getLong(8 * it).toDouble() }
            }
        }
    }
}
